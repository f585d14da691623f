"""Step 4 of the runbook, "tag the on-call engineer": who that is now, looked up while the rollback is under way."""

from __future__ import annotations

from watcher.runbook.case import Case
from watcher.runbook.ports import Directory
from watcher.runbook.step import Outcome
from watcher.systems.fault import Fault

ATTEMPTS = 3  # then the contacts of the config are tagged instead


class OnCall:
    """Find out whom to tag, before the message is posted: nobody is told by an edit."""

    name = "oncall"
    lane = "directory"
    write_ahead = False

    def __init__(self, directory: Directory | None) -> None:
        self._directory = directory

    def due(self, case: Case) -> bool:
        """At once, beside everything else."""
        return not case.step("oncall").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Ask who is on call."""
        if self._directory is None:
            return Outcome("skipped", said="nobody is looked up: that takes PagerDuty's REST token, and Slack")
        try:
            found = self._directory()
        except Fault as fault:
            if case.step("oncall").failures < ATTEMPTS - 1:
                raise
            return Outcome("skipped", said=f"who is on call can't be found out: {fault}")
        return Outcome("done", dict(found), f"on call: {', '.join(found) or 'nobody was found in Slack'}")
