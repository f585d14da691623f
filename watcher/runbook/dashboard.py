"""Grafana: the rollout and the rollback are marked on the dashboards, and the service's dashboard is linked."""

from __future__ import annotations

from watcher.runbook.case import Case
from watcher.runbook.ports import Dashboards
from watcher.runbook.step import Outcome
from watcher.runbook.thread import end_of, given_up
from watcher.systems.fault import Fault

AFTERWARDS = 900.0  # seconds after the end that the linked range still shows


class Dashboard:
    """Link at once, without a request; mark what has happened; and close the linked range at the end."""

    name = "dashboard"
    lane = "grafana"
    write_ahead = False

    def __init__(self, dashboards: Dashboards | None) -> None:
        self._dashboards = dashboards

    def due(self, case: Case) -> bool:
        """Once the Deployment's own dashboard is known; after that whenever there is something to mark."""
        if self._dashboards is None or not case.step("confirm").tried:
            return False
        return "link" not in case.step("dashboard").result or self._next(case) != ""

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Take one step of the three; the marks are looked for first, so that none is set twice.

        A mark that Grafana refuses for good is left out, and that is said.
        """
        if self._dashboards is None:
            return Outcome("skipped", said="Grafana is not configured")
        result = dict(case.step("dashboard").result)
        if "link" not in result:
            return Outcome("later", {"link": self._dashboards.link(case, None), "marked": []}, "linked")
        following = self._next(case)
        if following == "range":
            ended = bool(case.outcome)
            link = self._dashboards.link(case, end_of(case, now) + AFTERWARDS if ended else None)
            said = "all is marked" if ended else "linked up to now"
            return Outcome("done" if ended else "later", {**result, "link": link, "ended": ended}, said)
        at, text = _mark(case, following)
        try:
            self._dashboards.mark(case, following, text, at)
        except Fault as fault:
            if not given_up(case.step("dashboard"), fault):
                raise
            unmarked = [*(result.get("unmarked") or []), following]
            said = f"the {' and the '.join(unmarked)} could not be marked in Grafana: {fault.said}"
            return Outcome("later", {**result, "unmarked": unmarked, "said": said}, said)
        marked = {**result, "marked": [*result["marked"], following]}
        return Outcome("later", marked, f"the {following} is marked")

    def _next(self, case: Case) -> str:
        """What is to be done next; empty where nothing is. A case that is opened again goes on: so does the range."""
        result = case.step("dashboard").result
        over = [*(result.get("marked") or []), *(result.get("unmarked") or [])]
        if "rollout" not in over:
            return "rollout"
        if case.rolled_back and "rollback" not in over:
            return "rollback"
        return "range" if bool(case.outcome) != bool(result.get("ended")) else ""


def _mark(case: Case, what: str) -> tuple[float, str]:
    if what == "rollout":
        return case.rollout_started, f"rollout of {case.subject} to revision {case.bad} in {case.place}"
    target = case.result("revert", "to")
    moved = f"from revision {case.bad} to {target}" if target else f"of revision {case.bad} to 0 pods"
    at = case.step("revert").finished or case.opened
    return at, f"rollback of {case.subject} {moved} in {case.place}: {case.said}"
