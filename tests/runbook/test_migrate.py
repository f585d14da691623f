"""Migrate: the schema goes back once, to the right version, and only while nobody else needs it as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.runbook.conftest import Shop
from tests.runbook.migrating import MIGRATIONS, NEW, OLD, Bench
from tests.runbook.parts import NOW, POLICY, cut, until
from watcher.policy.model import Policy
from watcher.runbook.case import Case
from watcher.runbook.duty import Duty
from watcher.runbook.migrate import READ_BACK_WITHIN, Migrate
from watcher.runbook.migrations import needs_database_team, taken_back
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths


@pytest.fixture
def bench(shop: Shop) -> Bench:
    """The schema is taken back after the revert."""
    return Bench(shop)


def reverted(bench: Bench) -> Case:
    """The case, planned and reverted, with the bad revision's pods gone."""
    case = bench.go(bench.planned(), "revert")
    assert (case.rolled_back, bench.due(case)) == (True, ["migrate"])
    bench.shop.connection.merge_patch(bench.shop.path, {"spec": {"replicas": 0}})
    until(lambda: bench.shop.settled() and not _pods(bench), "the pods are gone")
    return case


def _pods(bench: Bench) -> int:
    return int((bench.shop.revisions()[2].get("status") or {}).get("replicas") or 0)


def down(bench: Bench) -> list[str]:
    """The names of the down Jobs."""
    return [name for job in bench.jobs() if (name := job["metadata"]["name"]).endswith("-down")]


def failed(case: Case) -> str:
    """What a migration that couldn't be taken back has come to."""
    assert (case.outcome, case.step("migrate").state, needs_database_team(case)) == ("migration-failed", "done", True)
    assert not taken_back(case)
    return case.ending


def test_one_job_takes_it_back_and_the_version_is_read(bench: Bench) -> None:
    """After the revert the down Job runs, is waited for, and the database is asked whether it is so."""
    case = bench.go(reverted(bench), "migrate")
    [name] = down(bench)
    assert (case.step("migrate").state, case.result("migrate", "job"), case.outcome) == ("waiting", name, "")
    [job] = [job for job in bench.jobs() if job["metadata"]["name"] == name]
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["command"][-2:]) == ("shop:2", ["shop", OLD])
    bench.ends("down")
    bench.schema.at = OLD
    case = bench.go(case, "migrate")
    assert (taken_back(case), case.outcome, bench.due(case)) == (True, "", [])
    assert case.result("migrate", "said") == f"Job {name} took the schema back from {NEW} to {OLD}, as was read back"


def test_the_bad_revision_s_pods_go_first(bench: Bench) -> None:
    """A pod of it that starts would migrate forward again; a target that doesn't come up isn't waited for too long."""
    case = bench.go(bench.planned(), "revert")
    assert _pods(bench), "without a node nothing becomes ready, and the old pods stay"
    case = bench.go(case, "migrate", now=NOW + 299)
    assert (case.step("migrate").state, down(bench)) == ("waiting", [])
    bench.go(case, "migrate", now=NOW + 300)
    assert len(down(bench)) == 1


@pytest.mark.parametrize("part", ["create", "get"])
def test_a_crash_makes_one_job(bench: Bench, part: str) -> None:
    """Whatever gets lost, answers or all memory of the attempt, one Job is all there is."""
    case = reverted(bench)
    calls = len(bench.line.calls)
    once = bench.go(case, "migrate")
    for number in range(len(bench.line.calls) - calls):
        left = [number]

        def lose(method: str, path: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0 and method == part:
                cut()

        bench.line.after = lose
        bench.go(case, "migrate")
        bench.line.after = lambda method, path: None
        bench.go(case, "migrate")
    assert (len(down(bench)), once.step("migrate").state) == (1, "waiting")


def test_a_job_that_failed_ends_the_case_badly(bench: Bench) -> None:
    """It is said with the Job's words, the database team is called, and nothing is repeated."""
    case = bench.go(reverted(bench), "migrate")
    bench.line.log = lambda: "psycopg.errors.LockNotAvailable\n"
    bench.ends("down", "Failed")
    case = bench.go(case, "migrate")
    assert "its output ends: psycopg.errors.LockNotAvailable" in failed(case)
    assert (bench.due(case), len(down(bench))) == ([], 1)


def test_a_replica_that_is_behind_is_waited_for(bench: Bench) -> None:
    """The version is read back for a minute; then it is as it is."""
    case = bench.go(reverted(bench), "migrate")
    bench.ends("down")
    case = bench.go(case, "migrate", now=NOW + 100)
    case = bench.go(case, "migrate", now=NOW + 99 + READ_BACK_WITHIN)
    assert (case.step("migrate").state, case.outcome) == ("waiting", "")
    assert f"complete, and yet the schema is at {NEW}" in failed(
        bench.go(case, "migrate", now=NOW + 100 + READ_BACK_WITHIN)
    )
    bench.schema.at = OLD
    assert taken_back(bench.go(case, "migrate", now=NOW + 100 + READ_BACK_WITHIN))


def test_a_database_that_is_away_is_waited_for(bench: Bench) -> None:
    """Not being able to read is no failure of the migration: it is tried again, before the Job and after it."""
    case = reverted(bench)
    bench.schema.at = Fault("Database", "did not answer")
    case = bench.go(case, "migrate")
    assert (case.step("migrate").error, case.outcome, down(bench)) == ("did not answer", "", [])
    bench.schema.at = NEW
    case = bench.go(case, "migrate")
    bench.ends("down")
    bench.schema.at = Fault("Database", "did not answer")
    case = bench.go(case, "migrate")
    assert (case.outcome, bench.due(case)) == ("", ["migrate"])


@pytest.mark.parametrize(("at", "done"), [(OLD, True), ("0003_more", False), ("zero", False)])
def test_a_moved_schema_is_left_alone(bench: Bench, at: str, done: bool) -> None:
    """Back already: nothing is run. Anywhere else: somebody was there, and nothing is run either."""
    case = reverted(bench)
    bench.schema.at = at
    case = bench.go(case, "migrate")
    assert (taken_back(case), down(bench)) == (done, [])
    assert done or f"the schema is at {at} by now" in failed(case)


def ship(bench: Bench) -> None:
    """A new release that is numbered already."""
    bench.shop.ship("shop:9")


def change(bench: Bench) -> None:
    """A new release that the controller hasn't numbered."""
    patch = {"spec": {"paused": True, "template": {"metadata": {"annotations": {"n": "1"}}}}}
    bench.shop.connection.merge_patch(bench.shop.path, patch)


def delete(bench: Bench) -> None:
    """No Deployment any more."""
    bench.shop.connection.delete(bench.shop.path)


@pytest.mark.parametrize("meanwhile", [ship, change, delete])
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_release_meanwhile(shop: Shop, order: Any, meanwhile: Callable[[Bench], None]) -> None:
    """Whatever is there now may need the schema as it is: it is left, and that is said."""
    bench = Bench(shop, replace(MIGRATIONS, order=order))
    case = reverted(bench) if order == "after" else bench.planned()
    meanwhile(bench)
    case = bench.go(case, "migrate")
    assert (case.outcome, down(bench), bench.due(case)) == ("overtaken", [], [])
    assert "the schema was left" in case.ending


def test_a_release_that_came_during_the_job_is_no_failure(bench: Bench) -> None:
    """A newer release that has migrated forward again is why the version isn't the old one."""
    case = bench.go(reverted(bench), "migrate")
    bench.shop.ship("shop:9")
    bench.ends("down")
    case = bench.go(case, "migrate", now=NOW)
    assert bench.go(case, "migrate", now=NOW + READ_BACK_WITHIN).outcome == "overtaken"


def edits() -> dict[str, list[Policy]]:
    """Policies that say something else than when it was settled."""
    other = replace(MIGRATIONS, command=("other", "$version"))
    return {"removed": [], "without": [POLICY], "edited": [replace(POLICY, migrations=other)]}


@pytest.mark.parametrize("edit", edits())
def test_an_edited_policy_stops_it(bench: Bench, edit: str) -> None:
    """What was settled is done as it was settled, or not at all."""
    case = reverted(bench)
    bench.policies[:] = edits()[edit]
    assert "the policy no longer says" in failed(bench.go(case, "migrate"))
    assert down(bench) == []


def test_a_job_under_way_is_seen_through_whatever_the_policy_says(bench: Bench) -> None:
    """It is waited for, and that nobody can read the version back is said."""
    case = bench.go(reverted(bench), "migrate")
    bench.policies.clear()
    case = bench.go(case, "migrate")
    assert case.outcome == ""
    bench.ends("down")
    assert "no longer says how to read that back" in failed(bench.go(case, "migrate"))


def test_a_job_that_is_gone_is_not_made_again(bench: Bench) -> None:
    """Nobody knows what it did."""
    case = bench.go(reverted(bench), "migrate")
    [name] = down(bench)
    bench.shop.connection.delete(paths.jobs(bench.shop.namespace, name))
    assert "is gone, and nobody knows" in failed(bench.go(case, "migrate"))


def test_without_its_replica_set_there_is_no_job(bench: Bench) -> None:
    """With the bad revision's template gone, there is nothing to make it from; the case doesn't try for a day."""
    case = reverted(bench)
    bench.shop.connection.delete(paths.replica_sets(bench.shop.namespace, case.bad_replica_set))
    assert "ReplicaSet is gone" in failed(bench.go(case, "migrate"))


def test_a_daemon_that_no_longer_leads_makes_none(bench: Bench) -> None:
    """What the new leader has found may be another thing."""
    case = reverted(bench)
    follower = Duty(lambda: False, lambda: NOW, 60.0)
    with pytest.raises(Fault, match="no longer leads"):
        Migrate(bench.line, bench.schema, lambda: tuple(bench.policies), follower).carry_out(case, NOW)
    assert down(bench) == []


def test_without_a_database_the_job_s_word_counts(shop: Shop) -> None:
    """With annotations alone, a complete Job is all that is known, and that is said."""
    bench = Bench(shop, replace(MIGRATIONS, version=None))
    for revision, version in ((3, OLD), (4, NEW)):
        template = {"metadata": {"annotations": {"canary-watch.io/schema-version": version}}}
        shop.connection.merge_patch(shop.path, {"spec": {"template": template, "replicas": 0}})
        until(lambda revision=revision: shop.settled() and revision in shop.revisions(), version)  # type: ignore[misc]
    case = bench.go(bench.confirmed(), "plan")
    bench.schema.at = Fault("Database", "nobody asks it")
    until(lambda: bool(bench.jobs()), "the plan's Job")
    bench.ends("plan")
    case = bench.go(case, "plan", "revert", "migrate")
    bench.ends("down")
    case = bench.go(case, "migrate")
    assert (taken_back(case), bench.schema.asked) == (True, [])
    assert "nothing says how to read that back" in case.result("migrate", "said")
