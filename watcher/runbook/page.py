"""Open the PagerDuty incident, and link it. The case's id is the dedup key: one incident, however often it is sent."""

from __future__ import annotations

from watcher.runbook import messages
from watcher.runbook.case import Case
from watcher.runbook.ports import Pager
from watcher.runbook.step import Outcome
from watcher.systems.fault import Fault

# Ends after which there is nothing to page about, if nothing has been said or done.
QUIET = frozenset({"overtaken", "recovered", "superseded", "watch-ended"})

# PagerDuty makes the incident a moment after it takes the event: its address is asked for so often, at most.
MOST_LOOKUPS = 5


class Page:
    """Page the on-call engineer. A rollback is paged once its first attempt is through, whether or not it succeeded."""

    name = "page"
    lane = "pagerduty"
    write_ahead = False

    def __init__(self, pager: Pager | None) -> None:
        self._pager = pager

    def due(self, case: Case) -> bool:
        """A hold or an escalation is paged at once; a rollback after the attempt to revert.

        A rollback that is overtaken or no longer called for before anything was done or said stays silent; an attempt
        that may have paged is seen through.
        """
        record = case.step("page")
        if record.over or record.attempts:
            return not record.over
        if case.outcome in QUIET and not case.rolled_back and not case.step("announce").tried:
            return case.action != "RollBack"
        revert = case.step("revert")
        return case.action != "RollBack" or revert.over or bool(revert.error or case.step("confirm").error)

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Send the event, then look for the incident's address, so long as there is hope for it."""
        if self._pager is None:
            return Outcome("skipped", said="PagerDuty is not configured")
        result = dict(case.step("page").result)
        if result.get("paged") != case.action:
            self._pager.page(case, messages.summary(case), messages.details(case))
            result.update(paged=case.action, dedupKey=case.id, lookups=0)
        if self._pager.can_link and result.get("url") is None:
            result.update(url=self._address(self._pager, case), lookups=int(result["lookups"]) + 1)
            if result["url"] is None and result["lookups"] < MOST_LOOKUPS:
                return Outcome("later", result, "paged; looking for the incident's address")
        return Outcome("done", result, "paged")

    def _address(self, pager: Pager, case: Case) -> str | None:
        """Look once. A REST API that fails doesn't undo the page, and must not keep the case from being settled."""
        try:
            return pager.link(case)
        except Fault:
            return None
