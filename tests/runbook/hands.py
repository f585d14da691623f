"""Confirm and revert carried out by hand, one attempt at a time."""

from __future__ import annotations

from tests.runbook.conftest import Shop
from tests.runbook.parts import NOW, OWN, on_duty
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.confirm import Confirm
from watcher.runbook.revert import Revert
from watcher.runbook.step import Outcome


def confirm(shop: Shop, case: Case, now: float = NOW) -> Outcome:
    """Carry confirm out."""
    return Confirm(shop.line, OWN).carry_out(case, now)


def confirmed(shop: Shop) -> Case:
    """The case of the newest revision, confirmed."""
    case = shop.case()
    outcome = confirm(shop, case)
    assert outcome.state == "done"
    assert outcome.case_outcome == ""
    return case.with_step("confirm", StepRecord("done", result=outcome.result))


def revert(shop: Shop, case: Case, now: float = NOW) -> Outcome:
    """Carry revert out."""
    return Revert(shop.line, on_duty(case)).carry_out(case, now)


def patches(shop: Shop) -> list[str]:
    """The objects that were patched through the steps' line."""
    return [path.rsplit("/", 2)[1] for method, path in shop.line.calls if method == "json_patch"]
