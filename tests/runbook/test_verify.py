"""Verify against an API server with a node: each part that fails is named, and nothing is claimed unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

from tests.runbook.conftest import Shop
from tests.runbook.parts import NOW, OWN, on_duty, until
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.confirm import Confirm
from watcher.runbook.ports import Recheck
from watcher.runbook.revert import Revert
from watcher.runbook.step import Outcome
from watcher.runbook.templates import without_hash
from watcher.runbook.verify import Verify, changed_again, readyz_target, rollout_status
from watcher.sandbox.cluster.client import Client
from watcher.sandbox.cluster.node import Node
from watcher.sandbox.cluster.runners import Switches
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Connection, paths
from watcher.systems.probe import probe

Json = dict[str, Any]


@pytest.fixture
def back(shop: Shop, pods: ThreadingHTTPServer, switches: Switches, cluster: Connection) -> Iterator[Case]:
    """A case that was rolled back, with its pods on a node."""
    port = {"spec": {"template": {"spec": {"containers": [{"name": "shop", "image": "shop:3", "ports": None}]}}}}
    container = port["spec"]["template"]["spec"]["containers"][0]
    container["ports"] = [{"name": "http", "containerPort": pods.server_port}]  # type: ignore[assignment]
    shop.connection.merge_patch(shop.path, port)
    until(lambda: shop.settled() and 3 in shop.revisions(), "revision 3")
    shop.ship("shop:4")
    with Node(Client(cluster.server, "t"), switches.run, shop.namespace, iter(["127.0.0.1"] * 99)):
        case = shop.case()
        case = case.with_step("confirm", StepRecord("done", result=Confirm(shop.line, OWN).carry_out(case, NOW).result))
        outcome = Revert(shop.line, on_duty(case)).carry_out(case, NOW)
        yield case.with_step("revert", StepRecord("done", result=outcome.result, finished=NOW))


def good(case: Case, now: float) -> tuple[bool, str]:
    """The check is back under its threshold."""
    return True, "errors 0.00%"


def look(shop: Shop, case: Case, check: Recheck = good, now: float = NOW) -> Outcome:
    """Verify once."""
    return Verify(shop.line, check, probe, lambda case: None).carry_out(case, now)


def failing(outcome: Outcome) -> list[str]:
    """The parts that don't hold."""
    return [part["name"] for part in outcome.result["parts"] if not part["holds"]]


def rolled_out(shop: Shop) -> bool:
    """Whether the rollback's pods all serve."""
    return rollout_status(shop.deployment())[0]


def test_verified_when_all_four_hold(shop: Shop, back: Case) -> None:
    """Rollout, image, /readyz on each pod, and the check: with all of them seen, the case is verified."""
    until(lambda: rolled_out(shop), "the rollback is out")
    outcome = look(shop, back)
    assert (outcome.state, outcome.case_outcome, failing(outcome)) == ("done", "verified", [])
    said = [part["said"] for part in outcome.result["parts"]]
    assert said == [
        "rollout complete, 2 of 2 pods available",
        "image shop:3 on 2 pods",
        "/readyz answers 200 on 2 of 2 pods",
        "errors 0.00%",
    ]


def test_a_rollout_under_way_is_named(shop: Shop, back: Case, switches: Switches) -> None:
    """While pods are not ready yet, verify comes back later and says which part is missing."""
    switches.set_ready("shop:3", False)
    until(lambda: shop.settled() and not rolled_out(shop), "the rollback waits")
    outcome = look(shop, back)
    assert (outcome.state, outcome.case_outcome) == ("later", "")
    assert "rollout" in failing(outcome)


def test_a_failing_readyz_is_named(shop: Shop, back: Case, pods: ThreadingHTTPServer) -> None:
    """Pods that are ready for Kubernetes and answer 503 at /readyz are not verified."""
    until(lambda: rolled_out(shop), "the rollback is out")
    pods.status = 503  # type: ignore[attr-defined]
    outcome = look(shop, back)
    assert failing(outcome) == ["readyz"]
    assert outcome.said == "/readyz answers 200 on 0 of 2 pods"


def test_a_check_still_over_is_named(shop: Shop, back: Case) -> None:
    """The breached check has to be back under its threshold."""
    until(lambda: rolled_out(shop), "the rollback is out")
    outcome = look(shop, back, lambda case, now: (False, "errors 3.00%, above 1.00%"))
    assert (outcome.state, failing(outcome), outcome.said) == ("later", ["check"], "errors 3.00%, above 1.00%")


def test_a_part_that_cannot_be_seen_does_not_hold(shop: Shop, back: Case) -> None:
    """A fault while looking is no proof of health: the part is named with the fault."""
    until(lambda: rolled_out(shop), "the rollback is out")

    def blind(case: Case, now: float) -> tuple[bool, str]:
        raise Fault("Prometheus", "did not answer")

    outcome = look(shop, back, blind)
    assert (failing(outcome), outcome.said) == (["check"], "check can't be checked: Prometheus: did not answer")


def test_not_verified_in_time(shop: Shop, back: Case) -> None:
    """At the deadline, counted from the revert, the case ends as not verified and says what failed."""
    until(lambda: rolled_out(shop), "the rollback is out")
    bad: Recheck = lambda case, now: (False, "errors 3.00%")  # noqa: E731
    assert look(shop, back, bad, NOW + 599).state == "later"
    outcome = look(shop, back, bad, NOW + 600)
    assert (outcome.case_outcome, outcome.said) == ("not-verified", "not verified within 600 s: errors 3.00%")


def test_a_later_change_overtakes(shop: Shop, back: Case) -> None:
    """A new release before the rollback could be verified ends the case, though it keeps our annotation."""
    shop.ship("shop:5")
    outcome = look(shop, back)
    assert "canary-watch.io/rolled-back" in shop.deployment()["metadata"]["annotations"]
    assert (outcome.case_outcome, outcome.result["verified"]) == ("overtaken", False)


def test_a_deleted_deployment_overtakes(shop: Shop, back: Case) -> None:
    """A Deployment that was deleted after the rollback is not looked for all day."""
    shop.connection.delete(shop.path)
    until(lambda: not shop.connection.get(paths.deployments(shop.namespace))["items"], "deleted")
    assert look(shop, back).case_outcome == "overtaken"


def test_an_evicted_pod_is_not_asked(shop: Shop, back: Case) -> None:
    """A pod that has failed for good stays listed, and does not keep a sound rollback from being verified."""
    until(lambda: rolled_out(shop), "the rollback is out")
    listed = shop.connection.get(paths.pods(shop.namespace))["items"]
    ours = next(p for p in listed if p["metadata"]["ownerReferences"][0]["uid"] == back.result("confirm", "targetUid"))
    evicted = {
        "metadata": {"name": "evicted", "labels": {"app": "checkout"}},
        "spec": {"containers": [{"name": "shop", "image": "shop:3"}], "nodeName": "gone"},
    }
    shop.connection.create(paths.pods(shop.namespace), evicted)
    path = paths.pods(shop.namespace, "evicted")
    shop.connection.merge_patch(f"{path}/status", {"status": {"phase": "Failed", "reason": "Evicted"}})
    owned = {"metadata": {"ownerReferences": ours["metadata"]["ownerReferences"]}}
    assert shop.connection.merge_patch(path, owned)["status"]["phase"] == "Failed"
    until(lambda: rolled_out(shop), "the rollback is out again")
    assert look(shop, back).case_outcome == "verified"
    assert shop.connection.get(path)["status"]["phase"] == "Failed"


def test_scaled_to_zero_is_verified(shop: Shop, back: Case) -> None:
    """With no pods wanted there is none to ask."""
    shop.connection.merge_patch(shop.path, {"spec": {"replicas": 0}})
    until(lambda: shop.settled() and rolled_out(shop), "scaled")
    assert look(shop, back).case_outcome == "verified"


def container(probe_at: Json | None = None, ports: list[Json] | None = None) -> Json:
    """A container with an HTTP readiness probe and ports."""
    made: Json = {"name": "c", "image": "i", "ports": ports or []}
    return {**made, "readinessProbe": {"httpGet": probe_at}} if probe_at else made


NAMED = [{"name": "admin", "containerPort": 9090}, {"name": "http", "containerPort": 8080}]


@pytest.mark.parametrize(
    ("containers", "target"),
    [
        ([container({"port": 8081, "path": "/healthz"}, NAMED)], ("http", 8081, "/healthz")),
        ([container({"port": "http"}, NAMED)], ("http", 8080, "/readyz")),
        ([container({"port": 8443, "scheme": "HTTPS"}, NAMED)], ("https", 8443, "/readyz")),
        ([container(None, NAMED)], ("http", 9090, "/readyz")),
        ([container({"port": "unknown"}, NAMED)], ("http", 9090, "/readyz")),
        ([container(), container({"port": 8081}, [])], ("http", 8081, "/readyz")),
        ([{"name": "c", "readinessProbe": {"exec": {}}}, container(None, NAMED)], ("http", 9090, "/readyz")),
        ([container()], None),
    ],
)
def test_where_readyz_is_asked(containers: list[Json], target: tuple[str, int, str] | None) -> None:
    """At the readinessProbe's port and path, by number or name, with its scheme; else at the first container port."""
    assert readyz_target({"spec": {"containers": containers}}) == target


def status(**counts: Any) -> Json:
    """A Deployment of 3 replicas with this status."""
    return {"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {"observedGeneration": 2, **counts}}


DEADLINE = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]


@pytest.mark.parametrize(
    ("deployment", "said"),
    [
        (status(observedGeneration=1, updatedReplicas=3), "rollout: not observed by the Deployment controller yet"),
        (status(conditions=DEADLINE, updatedReplicas=3), "rollout: past its progress deadline"),
        (status(updatedReplicas=1, replicas=3), "rollout: 1 of 3 pods updated"),
        (status(updatedReplicas=3, replicas=5), "rollout: 2 old pods still to go"),
        (status(updatedReplicas=3, replicas=3, availableReplicas=1), "rollout: 1 of 3 pods available"),
    ],
)
def test_rollout_status_in_kubectls_order(deployment: Json, said: str) -> None:
    """The rollout's status is what `kubectl rollout status` would say, and never complete before it is."""
    assert rollout_status(deployment) == (False, said)


def undo(shop: Shop, case: Case) -> None:
    """Put the bad template back, as a person or another controller does."""
    bad = without_hash(shop.revisions()[case.bad]["spec"]["template"])
    shop.connection.merge_patch(shop.path, {"spec": {"template": bad}})


def test_a_bad_template_that_is_put_back_is_said_with_its_writer(shop: Shop, back: Case) -> None:
    """Whoever put it back is named, the case is over, and it isn't fought."""
    tracking = {"argocd.argoproj.io/tracking-id": f"cart:apps/Deployment:{shop.namespace}/checkout"}
    shop.connection.merge_patch(shop.path, {"metadata": {"annotations": tracking}})
    undo(shop, back)
    until(lambda: shop.settled() and 6 in shop.revisions(), "revision 6")
    outcome = look(shop, back)
    assert (outcome.case_outcome, shop.images()) == ("overtaken", "shop:4")
    assert "revision 4, which was rolled back, was put back by" in outcome.said


def test_one_that_is_put_back_before_anybody_saw_is_noticed(shop: Shop, back: Case, cluster: Connection) -> None:
    """The Deployment controller may see neither change, and its number doesn't move: the template tells."""
    numbered = shop.deployment()
    undo(shop, back)
    now = shop.deployment()
    now["metadata"]["annotations"] = numbered["metadata"]["annotations"]
    assert not changed_again(back, now)
    assert "was put back by" in look(shop, back).said


def test_a_mark_that_was_missing_is_set_though_it_is_put_back(shop: Shop, back: Case) -> None:
    """By that mark later passes know the revision for one that was rolled back."""
    path = paths.replica_sets(shop.namespace, back.bad_replica_set)
    shop.annotate(path, verdict=None, verdict_of=None)
    revert = back.step("revert")
    missing = back.with_step("revert", replace(revert, result={**revert.result, "unmarked": "HTTP 500"}))
    undo(shop, back)
    assert look(shop, missing).case_outcome == "overtaken"
    assert shop.connection.get(path)["metadata"]["annotations"]["canary-watch.io/verdict"] == "condemned"


def test_a_schema_that_was_moved_again_is_noticed(shop: Shop, back: Case) -> None:
    """A pod of the bad revision that migrated forward once more is no verified rollback."""
    plan = {"carried": True, "from": "0002", "to": "0001"}
    case = back.with_step("plan", StepRecord("done", result=plan))
    case = case.with_step("migrate", StepRecord("done", result={"matches": True, "to": "0001"}))
    for current, wanted in (("0002", ["schema"]), ("0001", [])):
        outcome = Verify(shop.line, good, probe, lambda case, at=current: at).carry_out(case, NOW)
        assert [
            part["name"] for part in outcome.result["parts"] if part["name"] == "schema" and not part["holds"]
        ] == wanted


PLANNED = {"carried": False, "from": "0001", "to": "0001", "asked": "abc"}


@pytest.mark.parametrize(
    ("plan", "version"),
    [
        (PLANNED, "0001"),
        ({**PLANNED, "carried": True, "left": True, "from": "0002"}, "0002"),
        ({**PLANNED, "asked": ""}, ""),
    ],
    ids=["same", "left", "unread"],
)
def test_the_schema_is_noted(shop: Shop, back: Case, plan: Json, version: str) -> None:
    """The next release's plan finds with which schema this one serves, under its new number."""
    until(lambda: rolled_out(shop), "the rollback is out")
    assert look(shop, back.with_step("plan", StepRecord("done", result=plan))).case_outcome == "verified"
    assert (shop.rollout().new.number, shop.rollout().new.schema) == (5, version)


def test_the_schema_is_a_part_of_its_own(shop: Shop, back: Case) -> None:
    """With a migration to take back, nothing is verified before that is through."""
    until(lambda: rolled_out(shop), "the rollback is out")
    case = back.with_step("plan", StepRecord("done", result={**PLANNED, "carried": True, "from": "0002"}))
    outcome = look(shop, case)
    assert (failing(outcome), outcome.said) == (["schema"], "schema: not yet back at 0001")
    done = case.with_step("migrate", StepRecord("done", result={"matches": True, "to": "0001"}))
    assert look(shop, done).case_outcome == "verified"
    elsewhere = case.with_step("migrate", StepRecord("done", result={"matches": True, "to": "0000"}))
    assert failing(look(shop, elsewhere)) == ["schema"]
