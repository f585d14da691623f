"""Plan: what the release did to the schema is settled before the revert, and what can't be told holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.runbook.conftest import Shop, template
from tests.runbook.migrating import DOWN, MIGRATIONS, NEW, OLD, PLAN, QUERY, Bench
from tests.runbook.parts import NOW, POLICY, Once, cut, decision, until
from watcher.runbook.case import UNSETTLED_SCHEMA, Case, StepRecord
from watcher.runbook.jobs import LATE
from watcher.runbook.plan import ATTEMPTS
from watcher.runbook.progress import LOOK_AGAIN_HELD, barred, converted
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths

AWAY = Fault("Database", "did not answer within 5 s")
SHUT = Fault("Database", "authentication failed", lasting=True)


@pytest.fixture
def bench(shop: Shop) -> Bench:
    """The shop and the steps; revision 1 was seen with the old schema, the new one is there now."""
    made = Bench(shop)
    made.seen()
    return made


def ship(bench: Bench, image: str, **notes: str) -> None:
    """A release whose pod template has annotations of ours."""
    named = {f"canary-watch.io/{key.replace('_', '-')}": value for key, value in notes.items()}
    made = template(image)
    made["metadata"]["annotations"] |= named
    newest = max(bench.shop.revisions())
    bench.shop.connection.merge_patch(bench.shop.path, {"spec": {"template": made}})
    until(lambda: bench.shop.settled() and max(bench.shop.revisions()) > newest, image)


def facts(case: Case) -> dict[str, Any]:
    """What the plan has settled."""
    return {key: case.result("plan", key) for key in ("carried", "from", "to", "reversible", "left")}


def heard(bench: Bench, log: str, kind: str = "Complete") -> Case:
    """The case after the plan's Job has ended with this output."""
    bench.line.log = lambda: log
    case = bench.go(bench.confirmed(), "plan")
    assert (case.step("plan").state, "revert" in bench.due(case)) == ("waiting", False)
    bench.ends("plan", kind)
    return bench.go(case, "plan")


def unsettled(case: Case) -> str:
    """The words of a case that is held since its migration can't be told, and looked at again."""
    assert (case.action, case.reason) == ("Hold", UNSETTLED_SCHEMA)
    found = barred(case)
    assert found is not None
    assert found[0] == UNSETTLED_SCHEMA
    return found[1]


def test_policies_without_migrations_wait_for_nothing(shop: Shop) -> None:
    """Where no policy speaks of migrations, the revert follows at once, and no database is asked."""
    bench = Bench(shop, migrations=None)
    case = bench.go(bench.confirmed(), "plan")
    assert (case.step("plan").state, bench.due(case), bench.schema.asked) == ("skipped", ["revert"], [])


def test_a_release_without_a_migration_waits_for_no_plan(bench: Bench) -> None:
    """With the schema as the target expects it, no Job is made, and the revert is due."""
    bench.schema.at = OLD
    case = bench.go(bench.confirmed(), "plan")
    assert facts(case) == {"carried": False, "from": OLD, "to": OLD, "reversible": None, "left": None}
    assert (bench.jobs(), bench.due(case)) == ([], ["revert"])


def test_a_reversible_one_is_settled_by_the_plan_s_job(bench: Bench) -> None:
    """One Job prints the plan, the revert waits for it, and what it says is kept."""
    case = heard(bench, PLAN)
    assert facts(case) == {"carried": True, "from": NEW, "to": OLD, "reversible": "reversible", "left": None}
    [job] = bench.jobs()
    assert job["spec"]["template"]["spec"]["containers"][0]["command"][-2:] == [OLD, "--plan"]
    assert bench.due(case) == ["revert"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Undo Remove field note from product", "destructive-migration"),
        ("Raw Python operation -> IRREVERSIBLE", "irreversible-migration"),
    ],
)
def test_what_can_not_be_taken_back_holds(bench: Bench, line: str, reason: str) -> None:
    """The Deployment stays, the case says what the plan says, and nothing is tried again."""
    case = heard(bench, PLAN + f"    {line}\n")
    assert (case.action, case.reason, bench.due(case), bench.shop.images()) == ("Hold", reason, [], "shop:2")
    assert line in case.said
    assert barred(case) == (reason, case.result("plan", "barred"))


def test_what_can_not_be_taken_back_may_be_left(bench: Bench) -> None:
    """Where the policy says so, the code goes back and the schema stays."""
    bench.policies[:] = [replace(POLICY, migrations=replace(MIGRATIONS, irreversible="revert"))]
    case = heard(bench, PLAN + "    Raw SQL operation -> IRREVERSIBLE\n")
    assert (facts(case)["left"], bench.due(case)) == (True, ["revert"])
    assert bench.due(bench.go(case, "revert")) == []


@pytest.mark.parametrize(
    ("word", "action", "reason"), [("true", "RollBack", "above-threshold"), ("false", "Hold", "irreversible-migration")]
)
def test_the_annotation_spares_the_plan(bench: Bench, word: str, action: str, reason: str) -> None:
    """Where the bad pod template says whether it can be taken back, that is believed, and no Job is made."""
    ship(bench, "shop:3", schema_version=NEW, schema_reversible=word)
    condemned = bench.shop.revisions()[2]["metadata"]
    path = paths.replica_sets(bench.shop.namespace, condemned["name"])
    bench.shop.annotate(path, verdict="condemned", verdict_of=condemned["uid"])
    case = bench.go(bench.confirmed(), "plan")
    assert (case.action, case.reason, bench.jobs()) == (action, reason, [])


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", "did not come whole"),
        ("ModuleNotFoundError: shop\n", "doesn't read like Django's"),
        ("Planned operations:\n  No planned migration operations.\n", "and yet the plan back says"),
        (PLAN.replace("Undo ", ""), "it can't be told"),
    ],
    ids=["empty", "strange", "nothing", "forward"],
)
def test_a_plan_not_understood_holds(bench: Bench, log: str, said: str) -> None:
    """Nothing is guessed from an output that isn't a plan of the way back."""
    case = heard(bench, log)
    for _ in range(ATTEMPTS):
        case = bench.go(case, "plan") if case.action == "RollBack" else case
    assert said in unsettled(case)
    assert bench.shop.images() == "shop:2"


def test_a_plan_that_failed_holds(bench: Bench) -> None:
    """A Job that fails tells nothing; its output's end is in the words, and its next look is a new plan."""
    case = heard(bench, "Cannot find a migration matching '0001_initial'\n", "Failed")
    assert "its output ends: Cannot find a migration" in unsettled(case)
    case = bench.go(case, "plan", now=NOW + LOOK_AGAIN_HELD)
    assert len(bench.jobs()) == 2


def test_a_plan_that_never_begins_holds(bench: Bench) -> None:
    """A Job that is kept from starting, by a queue say, isn't waited for without end."""
    case = bench.go(bench.confirmed(), "plan")
    late = NOW + 600 + LATE
    case = bench.go(case, "plan", now=late)
    assert case.action == "RollBack"
    assert "is it suspended?" in unsettled(bench.go(case, "plan", now=late + 1))


@pytest.mark.parametrize("first", ["unknown", "renumbered", "another question"])
def test_an_unknown_target_holds(shop: Shop, first: str) -> None:
    """Never seen, seen under another number (its ReplicaSet was used again), or asked otherwise: it isn't known."""
    bench = Bench(shop)
    if first == "renumbered":
        bench.seen(number=7)
    elif first == "another question":
        bench.seen(query=replace(QUERY, parameters=("cart",)))
    assert "which schema version the target expects" in unsettled(bench.go(bench.confirmed(), "plan"))


def test_without_a_plan_to_ask_only_the_annotation_tells(bench: Bench) -> None:
    """A command of the policy's own, without a plan, leaves it unknown."""
    bench.policies[:] = [replace(POLICY, migrations=replace(MIGRATIONS, plan=()))]
    assert "there is no plan to ask" in unsettled(bench.go(bench.confirmed(), "plan"))


def test_a_container_that_is_not_there_holds(bench: Bench) -> None:
    """A Job that can't be made is no proof of anything."""
    bench.policies[:] = [replace(POLICY, migrations=replace(MIGRATIONS, container="web"))]
    assert "no container web" in unsettled(bench.go(bench.confirmed(), "plan"))


def test_a_database_that_is_away_is_tried_again_and_then_holds(bench: Bench) -> None:
    """A short outage only delays; a longer one holds, and the case says which system it is."""
    bench.schema.at = AWAY
    case = bench.go(bench.confirmed(), *["plan"] * (ATTEMPTS - 1))
    assert (case.action, case.step("plan").error) == ("RollBack", "did not answer within 5 s")
    assert "Database: did not answer" in unsettled(bench.go(case, "plan"))
    bench.schema.at = SHUT
    assert "authentication failed" in unsettled(bench.go(bench.confirmed(), "plan"))


def test_it_is_looked_at_again_and_the_bar_falls(bench: Bench) -> None:
    """Once it can be told, nothing stands in the way of the next pass's decision, which settles it all anew."""
    bench.schema.at = SHUT
    case = bench.go(bench.confirmed(), "plan")
    assert case.step("plan").next_try == NOW + LOOK_AGAIN_HELD
    again = bench.go(case, "plan", now=NOW + 60)
    assert (again.turn, again.said) == (case.turn, case.said), "nothing new is said each minute"
    bench.schema.at = OLD
    case = bench.go(again, "plan", now=NOW + 120)
    assert (case.action, barred(case), bench.due(case)) == ("Hold", None, [])
    turned = converted(case, decision(about=bench.shop.rollout()))
    assert (bench.due(turned), turned.result("plan", "carried")) == (["confirm"], None)
    assert bench.due(bench.go(turned, "confirm", "plan")) == ["revert"]


def test_a_hold_that_becomes_clearer_says_so(bench: Bench) -> None:
    """What couldn't be told and then turns out to be irreversible is held for that."""
    bench.schema.at = SHUT
    case = bench.go(bench.confirmed(), "plan")
    bench.schema.at = NEW
    case = bench.go(case, "plan", now=NOW + 60)
    bench.line.log = lambda: PLAN + "    Raw SQL operation -> IRREVERSIBLE\n"
    bench.ends("plan")
    case = bench.go(case, "plan", now=NOW + 61)
    assert (case.reason, bench.due(case)) == ("irreversible-migration", [])
    assert barred(case) == ("irreversible-migration", case.result("plan", "barred"))


@pytest.mark.parametrize("part", ["create", "get"])
def test_a_crash_makes_no_second_job(bench: Bench, part: str) -> None:
    """Wherever an attempt is cut off, the next one finds the same Job."""
    case = bench.confirmed()
    bench.line.after = Once(part, "jobs" if part == "create" else "replicasets", cut)
    once = bench.go(case, "plan")
    assert once.step("plan").error
    bench.go(once, "plan")
    bench.go(case, "plan")  # as a daemon that has lost all of it
    assert len(bench.jobs()) == 1


def test_a_target_that_is_gone_is_chosen_again(bench: Bench) -> None:
    """Somebody deletes the target's ReplicaSet: the case looks for another one, instead of failing for a day."""
    case = bench.confirmed()
    gone = {**case.step("confirm").result, "targetReplicaSet": "gone"}
    case = case.with_step("confirm", replace(case.step("confirm"), result=gone))
    assert bench.due(bench.go(case, "plan")) == ["confirm"]
    held = replace(case, action="Hold", reason=UNSETTLED_SCHEMA)
    held = held.with_step("plan", StepRecord(result={"unsettled": True, "barred": "why"}))
    after = bench.go(held, "plan")
    assert (barred(after), bench.due(after)) == (None, [])


def test_a_plan_for_another_target_is_made_anew(bench: Bench) -> None:
    """When the revert has to choose another target, what was settled for the first one doesn't hold for it."""
    case = heard(bench, PLAN)
    confirm = case.step("confirm")
    other = case.with_step("confirm", replace(confirm, result={**confirm.result, "targetUid": "another"}))
    assert bench.due(other) == ["plan"]


def test_nothing_is_settled_after_the_revert(bench: Bench) -> None:
    """A case that was rolled back, by a daemon that knew of no plans, isn't held for one any more."""
    bench.schema.at = OLD
    case = bench.go(bench.confirmed(), "plan", "revert")
    older = replace(case, steps={name: record for name, record in case.steps.items() if name != "plan"})
    assert bench.due(older) == []


def test_by_the_annotations_alone(shop: Shop) -> None:
    """Without a database to ask, both pod templates have to say what they expect."""
    alone = replace(MIGRATIONS, version=None)
    bench = Bench(shop, migrations=alone)
    assert "target expects" in unsettled(bench.go(bench.confirmed(), "plan"))
    ship(bench, "shop:3", schema_version=OLD)
    ship(bench, "shop:4", schema_version=NEW)
    case = bench.go(bench.confirmed(), "plan")
    bench.ends("plan")
    assert facts(bench.go(case, "plan"))["carried"] is True
    ship(bench, "shop:5", schema_version=NEW)
    assert facts(bench.go(bench.confirmed(), "plan"))["carried"] is False
    assert bench.schema.asked == []


def test_an_edited_policy_s_plan_is_not_taken_for_the_new_one_s(bench: Bench) -> None:
    """A Job that asked otherwise than the policy does now answers nothing."""
    case = bench.go(bench.confirmed(), "plan")
    edited = replace(MIGRATIONS, plan=(*DOWN, "--plan", "-v2"))
    bench.policies[:] = [replace(POLICY, migrations=edited)]
    bench.ends("plan")
    assert "as the policy no longer does" in unsettled(bench.go(case, "plan"))
