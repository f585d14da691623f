"""Step 1 on the whole daemon: what is known of the bad release is in the case and in the message, and no secret is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.scenarios.conftest import MakeStage
from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD
from watcher.sandbox.slack import Message

CAUSE = "kubernetes.io/change-cause"
PLANTED = ("hunter2-until-now", "hunter3-from-now-on", "kept-in-a-secret-object")
LIMITS = {"limits": {"memory": "128Mi"}}, {"limits": {"memory": "64Mi"}}


def env(password: str, greeting: str) -> list[dict[str, Any]]:
    """A container's env: a password written out, one out of a Secret, and what anybody may see."""
    reference = {"secretKeyRef": {"name": "shop", "key": "token"}}
    return [
        {"name": "DB_PASSWORD", "value": password},
        {"name": "API_TOKEN", "valueFrom": reference},
        {"name": "GREETING", "value": greeting},
    ]


def release(stage: Stage, image: str, cause: str, more: dict[str, Any]) -> None:
    """Release with more than a new image: env, resources and a change cause, in one change as pipelines make it."""
    template = stage.deployment()["spec"]["template"]
    [container] = template["spec"]["containers"]
    changed = {**container, **more, "image": image}
    body = {"metadata": {"annotations": {CAUSE: cause}}, "spec": {"template": {"spec": {"containers": [changed]}}}}
    stage.http.change(stage.path(), body)


def first_text(message: Message) -> str:
    """A message as people were notified of it."""
    return (*message.edits, message.text)[0]


def leaks(stage: Stage, planted: Sequence[str]) -> list[str]:
    """Those of the planted secrets that the daemon has said anywhere; the patch back to the old template isn't that."""
    listed = stage.http.get(f"/api/v1/namespaces/{stage.home}/configmaps")
    notes = stage.deployment()["metadata"]["annotations"]
    told = {key: text for key, text in notes.items() if not key.startswith("kubectl.kubernetes.io/")}
    files = [file.content for file in stage.slack.files]
    files += [content for issue in stage.jira.issues for content in issue.attachments.values()]
    every = b"\n".join([stage.vendors.sent(), json.dumps([listed, told]).encode(), *files])
    return [one for one in planted if one.encode() in every or any(one in daemon.said() for daemon in stage.daemons)]


def test_history_and_changes(make_stage: MakeStage) -> None:
    """Case, message and thread have the history, what was judged and what the release changed; no secret is shown."""
    stage = make_stage(container={"env": env(PLANTED[0], "hello"), "resources": LIMITS[0]})
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    secret = {"metadata": {"name": "shop"}, "stringData": {"token": PLANTED[2]}}
    stage.http.create(f"/api/v1/namespaces/{stage.namespace}/secrets", secret)
    ticket = stage.jira.add("OPS", "Release 2")
    stage.ship("good:1", annotations={CAUSE: "release 1", "canary-watch.io/ticket": ticket.key})
    stage.start()
    release(stage, "bad:2", "release 2, new prices", {"env": env(PLANTED[1], "bonjour"), "resources": LIMITS[1]})
    [case] = stage.closed("verified")
    found = case["steps"]["confirm"]["result"]
    assert [(one["revision"], one["images"]) for one in found["history"]] == [(2, "bad:2"), (1, "good:1")]
    assert [one["changeCause"] for one in found["history"]] == ["release 2, new prices", "release 1"]
    assert all(one["created"].endswith("Z") for one in found["history"])
    assert found["badRevision"] == found["history"][0]["revision"] == case["bad"]
    changed = "; ".join(found["changes"])
    assert "good:1 → bad:2" in changed
    assert "hello → bonjour" in changed
    assert "DB_PASSWORD" in changed
    assert "128Mi → 64Mi" in changed
    [message] = stage.posted()
    for line in ("Changed by revision 2: ", "good:1 → bad:2", "hello → bonjour", "Newest revisions: 2 bad:2"):
        assert line in first_text(message)
    assert "release 2, new prices" in first_text(message)
    confirmed = next(reply.text for reply in stage.thread(message) if "*confirm* done" in reply.text)
    assert "revision 2 is the one that was judged: error-rate" in confirmed
    assert "128Mi → 64Mi" in confirmed
    assert "• 1 good:1" in confirmed
    assert stage.jira.issues[-1].labels, "a postmortem was filed, and looked through as well"
    assert leaks(stage, PLANTED) == []
    assert leaks(stage, ["bonjour"]) == ["bonjour"], "what may be shown is found, where it is looked for"
    assert stage.vendors.violations == []


def test_owners(make_stage: MakeStage) -> None:
    """Argo CD, Flux and Helm are recognised by their marks on a Deployment, and named in the message's first text."""
    stage = make_stage(policies=("error-rate",))
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    flux = "kustomize.toolkit.fluxcd.io"
    marks: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
        "argo": (
            {},
            {"argocd.argoproj.io/tracking-id": f"shop:apps/Deployment:{stage.namespace}/argo"},
            "Argo CD application `shop`",
        ),
        "flux": ({f"{flux}/name": "apps", f"{flux}/namespace": "gitops"}, {}, "Flux Kustomization `gitops/apps`"),
        "helm": (
            {"app.kubernetes.io/managed-by": "Helm"},
            {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "shops"},
            "Helm release `shops/shop`",
        ),
    }
    for name, (labels, notes, _) in marks.items():
        stage.ship("good:1", name, notes)
        stage.http.change(stage.path(name), {"metadata": {"labels": labels}})
    stage.start()
    for name in marks:
        stage.set_image("bad:2", name)
    for name, (_, _, owner) in marks.items():
        [case] = stage.closed("verified", deployment=name)
        assert case["steps"]["confirm"]["result"]["owner"] == owner
        [message] = stage.posted(name)
        assert f"Managed by {owner}: change it there, too" in first_text(message)
