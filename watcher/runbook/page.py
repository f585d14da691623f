"""Open the PagerDuty incident, and link it: one incident, however often it is sent.

Where the alert of the runbook has an incident open for the service already, the rollback is noted on that instead.
"""

from __future__ import annotations

from typing import Any

from watcher.runbook import messages
from watcher.runbook.case import Case
from watcher.runbook.migrations import needs_database_team
from watcher.runbook.ports import Pager
from watcher.runbook.step import Outcome
from watcher.systems.fault import Fault

# Ends after which there is nothing to page about, if nothing has been said or done.
QUIET = frozenset({"overtaken", "recovered", "superseded", "watch-ended"})

# PagerDuty makes the incident a moment after it takes the event: its address is asked for so often, at most.
MOST_LOOKUPS = 5
NOTE_ATTEMPTS = 3  # at noting on an alert's incident, before somebody is paged anew


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
        failed = any(case.step(name).error for name in ("confirm", "plan", "migrate", "revert"))
        return case.action != "RollBack" or case.step("revert").over or failed

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Send the event, then look for the incident's address, so long as there is hope for it."""
        if self._pager is None:
            return Outcome("skipped", said="PagerDuty is not configured")
        result = dict(case.step("page").result)
        if result.get("paged") != case.action:
            result = self._paged(self._pager, case, result)
        if self._pager.can_link and result.get("url") is None:
            result.update(url=self._address(self._pager, case), lookups=int(result["lookups"]) + 1)
            if result["url"] is None and result["lookups"] < MOST_LOOKUPS:
                return Outcome("later", result, "paged; looking for the incident's address")
        said = f"noted on the incident of {result['alert']}, which was open" if result.get("linked") else "paged"
        return Outcome("done", result, said)

    def _paged(self, pager: Pager, case: Case, result: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in result.items() if key == "url"}
        alert = _noted_alert(pager, case) if case.action == "RollBack" and "dedupKey" not in result else None
        if alert:
            linked = {"linked": alert["id"], "url": alert["url"], "alert": alert["alert"]}
            return {**kept, **linked, "paged": case.action, "lookups": 0}
        pager.page(case, messages.summary(case), messages.details(case))
        return {**kept, "paged": case.action, "dedupKey": case.incident_key, "lookups": 0}

    def _address(self, pager: Pager, case: Case) -> str | None:
        """Look once. A REST API that fails doesn't undo the page, and must not keep the case from being settled."""
        try:
            return pager.link(case)
        except Fault:
            return None


def _noted_alert(pager: Pager, case: Case) -> dict[str, str] | None:
    """Note the rollback on the incident by which somebody was paged for it already.

    Where that can't be told, or nothing can be noted there, a second page is better than none.
    """
    try:
        found = pager.open_alert(case) if pager.can_link else None
    except Fault:
        return None
    try:
        if found:
            pager.note(found["id"], messages.opening_note(case))
    except Fault as fault:
        if not fault.lasting and case.step("page").failures < NOTE_ATTEMPTS - 1:
            raise
        return None
    return dict(found) if found else None


class PageDatabaseTeam:
    """Page the database team on a service of its own, whenever it comes to be needed (runbook, Database Migrations).

    A step of its own: a routing key that is wrong must not hold up the on-call engineer's page.
    """

    name = "database-team"
    lane = "pagerduty"
    write_ahead = False

    def __init__(self, pager: Pager | None) -> None:
        self._pager = pager

    def due(self, case: Case) -> bool:
        """At once, and once."""
        there = self._pager is not None and self._pager.has_database_team
        return there and needs_database_team(case) and not case.step("database-team").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Send the event, which opens one incident, however often it is sent."""
        if self._pager is None:
            return Outcome("skipped", said="PagerDuty is not configured")
        self._pager.page_database_team(case, messages.summary(case), messages.details(case))
        return Outcome("done", said="the database team is paged")
