"""Migrate before the revert, as a policy may want it: what is half done is finished, or said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.runbook.conftest import Shop
from tests.runbook.migrating import MIGRATIONS, OLD, Bench
from tests.runbook.parts import NOW, OWN, decision
from tests.runbook.test_migrate import down
from watcher.runbook.case import Case
from watcher.runbook.duty import Duty
from watcher.runbook.migrate import Migrate
from watcher.runbook.migrations import needs_database_team
from watcher.runbook.progress import barred, converted
from watcher.runbook.revert import Revert
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths


@pytest.fixture
def early(shop: Shop) -> Bench:
    """The schema is taken back before the revert."""
    return Bench(shop, replace(MIGRATIONS, order="before"))


def test_before_the_revert_where_the_policy_says_so(early: Bench) -> None:
    """The revert waits until the schema is back."""
    case = early.planned()
    assert early.due(case) == ["migrate"]
    case = early.go(case, "migrate")
    early.ends("down")
    early.schema.at = OLD
    case = early.go(case, "migrate")
    assert (early.due(case), early.shop.images()) == (["revert"], "shop:2")
    case = early.go(case, "revert")
    assert (case.rolled_back, early.due(case), early.shop.images()) == (True, [], "shop:1")


def test_before_the_revert_a_failure_holds_for_good(early: Bench) -> None:
    """The Deployment stays, and not even a case that has turned over runs a second Job."""
    case = early.go(early.planned(), "migrate")
    early.ends("down", "Failed")
    case = early.go(case, "migrate")
    assert (case.action, case.reason, early.due(case)) == ("Hold", "down-job-failed", [])
    assert barred(case) == ("down-job-failed", case.result("migrate", "barred"))
    turned = converted(replace(case, outcome="recovered"), decision(about=early.shop.rollout()))
    turned = early.go(turned, "confirm", "plan")
    early.ends("plan")
    turned = early.go(turned, "plan", "migrate")
    assert (turned.reason, len(down(early)), early.shop.images()) == ("down-job-failed", 1, "shop:2")


@pytest.mark.parametrize("where", ["deployment", "everything"])
def test_a_pause_holds_it_too(early: Bench, where: str) -> None:
    """What comes before the revert is held as the revert is."""
    case = early.planned()
    early.shop.annotate(early.shop.path if where == "deployment" else paths.namespaces(OWN), pause="true")
    case = early.go(case, "migrate")
    assert (case.action, case.reason, down(early), barred(case)) == ("Hold", "paused", [], None)


def test_before_the_revert_a_pass_must_have_decided(early: Bench) -> None:
    """A down Job is a change like the revert: old evidence isn't good enough for it."""
    case, stale = early.planned(), Duty(lambda: True, lambda: NOW, 60.0)
    with pytest.raises(Fault, match="no pass has decided"):
        Migrate(early.line, early.schema, lambda: tuple(early.policies), stale).carry_out(case, NOW)
    assert down(early) == []


def back(early: Bench) -> Case:
    """A case whose schema is back, and whose code isn't."""
    case = early.go(early.planned(), "migrate")
    early.ends("down")
    early.schema.at = OLD
    return early.go(case, "migrate")


def test_what_is_half_done_is_finished(early: Bench) -> None:
    """With the schema back, the revert needs no pass to decide again: the bad code can't stay without its schema."""
    case = back(early)
    outcome = Revert(early.line, Duty(lambda: True, lambda: NOW, 60.0)).carry_out(case, NOW)
    assert (outcome.state, early.shop.images()) == ("done", "shop:1")


def test_what_is_half_done_and_can_not_be_finished_is_said(early: Bench) -> None:
    """A release or a pause between the two leaves code without its schema: nobody is to find out by themselves."""
    case = back(early)
    early.shop.annotate(early.shop.path, pause="true")
    assert "its migration has been taken back already" in early.go(case, "revert").said
    early.shop.annotate(early.shop.path, pause=None)
    early.shop.ship("shop:9")
    case = early.go(case, "revert")
    assert (case.outcome, case.rolled_back, needs_database_team(case)) == ("migration-failed", False, True)
    assert "may not go with the schema" in case.ending
