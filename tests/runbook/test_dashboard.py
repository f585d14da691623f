"""The dashboard: linked at once, without a request; marked once each; its range closed at the end, and opened again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.runbook.parts import NOW, TARGET, case_of, decision
from tests.runbook.test_telling import attempt
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.dashboard import AFTERWARDS, Dashboard
from watcher.runbook.progress import converted
from watcher.runbook.replies import replies
from watcher.systems.fault import Fault


@dataclass
class Board:
    """A Grafana that remembers: `Dashboards`."""

    marks: list[tuple[str, float, str]] = field(default_factory=list)
    failing: bool = False
    refusing: str = ""

    def link(self, case: Case, until: float | None) -> str:
        """The dashboard's address."""
        return f"https://grafana/?to={until or 'now'}"

    def mark(self, case: Case, what: str, text: str, at: float) -> None:
        """Mark."""
        if self.failing:
            raise Fault("Grafana", "answered HTTP 500")
        if what == self.refusing:
            raise Fault("Grafana", "answered HTTP 401: Unauthorized", lasting=True)
        self.marks.append((what, at, text))


def confirmed(case: Case) -> Case:
    """The case once it is confirmed."""
    return case.with_step("confirm", StepRecord("done", 1, result=TARGET))


def reverted(case: Case) -> Case:
    """The case with its revert made at NOW + 5."""
    return case.with_step("revert", StepRecord("done", 1, finished=NOW + 5, result={"from": 2, "to": 1}))


def all_of(step: Dashboard, case: Case, now: float = NOW + 300) -> Case:
    """The case after as many attempts as the step wants."""
    for _ in range(10):
        if not step.due(case):
            return case
        case = attempt(step, case, now)
    raise AssertionError("it never ends")


def test_waits_for_the_deployments_own_dashboard() -> None:
    """The annotation is found by confirming: nothing is linked before that was tried; without Grafana never."""
    assert not Dashboard(Board()).due(case_of())
    assert Dashboard(Board()).due(case_of().with_step("confirm", StepRecord("waiting", 1, error="HTTP 500")))
    assert not Dashboard(None).due(confirmed(case_of()))


def test_links_without_a_request() -> None:
    """The link is there after the first attempt, although Grafana fails, and stays through its failures."""
    step = Dashboard(Board(failing=True))
    case = attempt(step, confirmed(case_of()))
    assert case.result("dashboard", "link") == "https://grafana/?to=now"
    case = attempt(step, case)
    assert case.step("dashboard").error
    assert case.result("dashboard", "link") == "https://grafana/?to=now"


def test_marks_rollout_and_rollback_where_they_were() -> None:
    """Each is marked once, at its own moment, and says which Deployment, revisions, cluster and region."""
    board = Board()
    case = all_of(Dashboard(board), confirmed(case_of()))
    all_of(Dashboard(board), reverted(case))
    place = "in prod (us-east-1)"
    assert board.marks == [
        ("rollout", case.rollout_started, f"rollout of shop/checkout to revision 2 {place}"),
        ("rollback", NOW + 5, f"rollback of shop/checkout from revision 2 to 1 {place}: {case.said}"),
    ]


def test_a_scaling_to_zero_is_marked_as_such() -> None:
    """Without an earlier revision the mark doesn't name one."""
    board = Board()
    case = confirmed(case_of()).with_step("revert", StepRecord("done", 1, result={"from": 2, "to": 0}))
    all_of(Dashboard(board), case)
    assert board.marks[1][2].startswith("rollback of shop/checkout of revision 2 to 0 pods in prod (us-east-1)")


def test_the_range_ends_with_the_case() -> None:
    """A while after the end the linked range is closed, and nothing is due any more."""
    step = Dashboard(Board())
    case = all_of(step, reverted(confirmed(case_of())))
    assert case.result("dashboard", "link") == "https://grafana/?to=now"
    case = case.with_step("verify", StepRecord("done", 1, finished=NOW + 100))
    case = all_of(step, replace(case, outcome="verified"))
    assert case.result("dashboard", "link") == f"https://grafana/?to={NOW + 100 + AFTERWARDS}"
    assert case.step("dashboard").state == "done"


def test_a_case_that_is_opened_again_is_shown_up_to_now() -> None:
    """A recovered hold that breaches again is linked up to now again, and its rollback is marked; the rollout isn't."""
    board = Board()
    step = Dashboard(board)
    case = all_of(step, replace(confirmed(case_of("Hold")), outcome="recovered"))
    assert case.result("dashboard", "link") != "https://grafana/?to=now"
    case = all_of(step, converted(case, decision()))
    assert case.result("dashboard", "link") == "https://grafana/?to=now"
    case = all_of(step, replace(reverted(confirmed(case)), outcome="verified"))
    assert [what for what, _, _ in board.marks] == ["rollout", "rollback"]
    assert case.result("dashboard", "ended")


def test_a_mark_that_is_refused_for_good_is_left_out_and_said() -> None:
    """After three attempts the case goes on: the rest is marked, the range closed, and the thread says what is not."""
    board = Board(refusing="rollout")
    step, case = Dashboard(board), reverted(confirmed(case_of()))
    for _ in range(1 + 3 + 1):
        case = attempt(step, case)
    assert [what for what, _, _ in board.marks] == ["rollback"]
    assert not step.due(case), "the range stays open until the end"
    case = all_of(step, replace(case, outcome="verified"))
    assert (case.step("dashboard").state, case.result("dashboard", "ended")) == ("done", True)
    [said] = [reply.text for reply in replies(case, {}) if "/dashboard/" in reply.key]
    assert "the rollout could not be marked in Grafana: answered HTTP 401" in said


def test_one_that_is_marked_has_no_reply() -> None:
    """The link is in the message; the thread isn't told of marks that are where they should be."""
    case = all_of(Dashboard(Board()), replace(reverted(confirmed(case_of())), outcome="verified"))
    assert case.step("dashboard").state == "done"
    assert not any("/dashboard/" in reply.key for reply in replies(case, {}))


def test_a_grafana_that_is_away_is_waited_for() -> None:
    """What passes by is tried on and on: the marks come later."""
    board = Board(failing=True)
    step, case = Dashboard(board), confirmed(case_of())
    for _ in range(8):
        case = attempt(step, case)
    board.failing = False
    assert all_of(step, case).result("dashboard", "marked") == ["rollout"]
