"""Scaled to zero: only where its policy says so, only a first revision, and never over a change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.runbook.conftest import Shop, template
from tests.runbook.hands import confirm, patches, revert
from tests.runbook.parts import NOW, POLICY, Line, Once, cut, decision, until, verdict
from watcher.judgement.decide import Circumstances, Judged, decide
from watcher.judgement.rollouts import own_revert
from watcher.runbook.case import Case, StepRecord, open_case
from watcher.runbook.verify import Verify
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Connection, paths

TO_ZERO = replace(POLICY, no_earlier_revision="scale-to-zero")


@pytest.fixture
def canary(cluster: Connection, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A Deployment that has only ever had one revision."""
    namespace = f"z-{abs(hash(request.node.name))}"
    cluster.create(paths.namespaces(), {"metadata": {"name": namespace}})
    made = Shop(cluster, namespace, Line(cluster))
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "checkout"}}, "template": template("shop:1")}
    cluster.create(paths.deployments(namespace), {"metadata": {"name": "checkout"}, "spec": spec})
    until(lambda: bool(made.revisions()) and made.settled(), "revision 1")
    yield made
    cluster.delete(paths.namespaces(namespace))


def decided(shop: Shop) -> Case:
    """The case that a breach leads to under the policy."""
    [found] = decide([Judged(shop.rollout(), (TO_ZERO,), (verdict(policy=TO_ZERO),))], Circumstances())
    return open_case(found, ("prod", "us-east-1"), NOW)


def confirmed(shop: Shop) -> Case:
    """The case, confirmed; its plan asks nothing."""
    case = decided(shop)
    case = case.with_step("confirm", StepRecord("done", result=confirm(shop, case).result))
    return case.with_step("plan", StepRecord("skipped"))


def replicas(shop: Shop) -> int:
    """How many pods the Deployment wants."""
    return int(shop.deployment()["spec"]["replicas"])


def look(shop: Shop, case: Case) -> tuple[str, list[str]]:
    """What verifying comes to, and what it says."""
    outcome = Verify(
        shop.line, lambda case, now: (False, "asked"), lambda url, timeout: 500, lambda case: None
    ).carry_out(case, NOW)
    return outcome.case_outcome, [part["said"] for part in outcome.result.get("parts", ())] or [outcome.said]


def test_it_is_scaled_in_one_guarded_patch(canary: Shop) -> None:
    """The template stays, the pods go; how many there were is in the note, and the revision isn't judged again."""
    case, before = confirmed(canary), canary.deployment()["spec"]["template"]
    outcome = revert(canary, case)
    after = canary.deployment()
    assert (replicas(canary), after["spec"]["template"]) == (0, before)
    assert (outcome.result["to"], outcome.result["newRevision"]) == (0, 1)
    note = json.loads(after["metadata"]["annotations"]["canary-watch.io/rolled-back"])
    assert (note["replicas"], note["case"]) == (3, case.id)
    assert own_revert(after, canary.rollout().new)
    assert canary.rollout().new.verdict == "condemned"


def test_it_is_verified_without_asking_anybody(canary: Shop) -> None:
    """There is nothing left to ask."""
    case = confirmed(canary)
    case = case.with_step("revert", StepRecord("done", result=revert(canary, case).result, finished=NOW))
    until(lambda: canary.settled() and not canary.deployment()["status"].get("replicas"), "the pods are gone")
    assert look(canary, case)[0] == "verified"
    canary.connection.merge_patch(canary.path, {"spec": {"replicas": 2}})
    outcome, said = look(canary, case)
    assert (outcome, "scaled up again" in said[0]) == ("overtaken", True), "whoever scales it up again is not fought"
    assert replicas(canary) == 2


def test_run_twice_it_changes_nothing(canary: Shop) -> None:
    """Its answer lost or its memory gone, the second attempt finds it done, also after somebody scaled up."""
    case = confirmed(canary)
    canary.line.after = Once("json_patch", "deployments", cut)
    with pytest.raises(Fault):
        revert(canary, case)
    canary.connection.merge_patch(canary.path, {"spec": {"replicas": 1}})
    assert revert(canary, case).result["to"] == 0
    assert (replicas(canary), patches(canary).count("deployments")) == (1, 1)


def test_a_release_that_came_meanwhile_keeps_its_pods(canary: Shop) -> None:
    """Before the confirmation, after it, and under the very patch."""
    case = decided(canary)
    ready = confirmed(canary)
    canary.line.before = Once("json_patch", "deployments", lambda: canary.ship("shop:2"))
    assert revert(canary, ready).said == "the Deployment changed under the patch"
    assert revert(canary, ready).case_outcome == "overtaken"
    assert confirm(canary, case).case_outcome == "overtaken"
    assert replicas(canary) == 3


def test_a_pause_holds_it(canary: Shop) -> None:
    """As it holds every other rollback."""
    case = confirmed(canary)
    canary.annotate(canary.path, pause="true")
    assert revert(canary, case).hold
    assert confirm(canary, decided(canary)).hold
    assert replicas(canary) == 3


def test_without_the_policy_s_word_it_escalates(canary: Shop) -> None:
    """A Deployment that serves somebody is never scaled down by default."""
    [found] = decide([Judged(canary.rollout(), (POLICY,), (verdict(),))], Circumstances())
    assert (found.action, found.reason) == ("Escalate", "no-earlier-revision")
    assert not open_case(decision(about=canary.rollout()), ("prod", "us"), NOW).target
    case = replace(decided(canary), scale_to_zero=False)
    assert "no earlier revision" in confirm(canary, case).escalate


def test_a_history_that_was_thrown_away_is_no_canary(shop: Shop) -> None:
    """With revisionHistoryLimit 0 every release is alone: a service of long standing isn't scaled to zero for that."""
    shop.connection.merge_patch(shop.path, {"spec": {"revisionHistoryLimit": 0}})
    first = shop.revisions()[1]["metadata"]["name"]
    shop.connection.delete(paths.replica_sets(shop.namespace, first))
    until(lambda: set(shop.revisions()) == {2}, "only the newest is left")
    [found] = decide([Judged(shop.rollout(), (TO_ZERO,), (verdict(policy=TO_ZERO),))], Circumstances())
    assert (found.action, found.reason) == ("Escalate", "no-earlier-revision")
    forced = replace(shop.case(), scale_to_zero=True)
    assert "no earlier revision" in confirm(shop, forced).escalate
    assert replicas(shop) == 2


def test_one_with_condemned_revisions_only_is_no_canary(shop: Shop) -> None:
    """There were earlier ones, and a person has to decide."""
    first = shop.revisions()[1]["metadata"]
    path = paths.replica_sets(shop.namespace, first["name"])
    shop.annotate(path, verdict="condemned", verdict_of=first["uid"])
    [found] = decide([Judged(shop.rollout(), (TO_ZERO,), (verdict(policy=TO_ZERO),))], Circumstances())
    assert found.action == "Escalate"
    assert "no earlier revision" in confirm(shop, replace(shop.case(), scale_to_zero=True)).escalate
