"""The end of a case: the incident gets its note and, where the rollback is verified, is resolved."""

from __future__ import annotations

from watcher.runbook import messages
from watcher.runbook.case import ALARMING, Case
from watcher.runbook.migrations import needs_database_team
from watcher.runbook.ports import Pager
from watcher.runbook.step import Outcome

# How a case may end so that nobody has to look at its incident any more.
RESOLVING = frozenset({"verified", "recovered"})


class Report:
    """Settle the incident. The message in #deploy follows the case by itself (`announce`)."""

    name = "report"
    lane = "pagerduty"
    write_ahead = False

    def __init__(self, pager: Pager | None) -> None:
        self._pager = pager

    def due(self, case: Case) -> bool:
        """Once the case has an outcome and its page is through."""
        ended = bool(case.outcome) and case.outcome != "escalated"
        return ended and case.step("page").over and not case.step("report").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Note what came of it; resolve only what has been seen to be well again."""
        if self._pager is None or case.step("page").state == "skipped":
            return Outcome("skipped", said="no incident was opened")
        resolve = case.outcome in RESOLVING
        note = messages.closing_note(case)
        if case.outcome in ALARMING:  # first: notes reach nobody, and the REST API may fail
            self._pager.page(case, note, messages.details(case))
        linked = case.result("page", "linked")
        if linked:
            self._pager.note(str(linked), note)  # another tool's incident: it resolves that itself
        else:
            self._pager.settle(case, note, resolve=resolve)
        if resolve and case.step("database-team").state == "done" and not needs_database_team(case):
            self._pager.resolve_database_team(case)
        said = "incident left open, with a note"
        if linked:
            said = f"noted on the incident of {case.result('page', 'alert')}"
        elif resolve:
            said = "incident resolved"
        return Outcome("done", {"resolved": resolve and not linked, "said": said}, said)
