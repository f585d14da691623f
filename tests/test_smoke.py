"""Smoke tests: what Jobs and runs of probes say of a rollout."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.runbook.parts import rollout, until
from watcher.judgement.model import SmokeResult
from watcher.policy.model import Check, SmokeJob, SmokeProbe
from watcher.runbook.lanes import Lanes
from watcher.runbook.ports import Probe
from watcher.smoke import SmokeTests, job_result
from watcher.systems.fault import Fault

PROBE = Check("up", SmokeProbe("http://$deployment.$namespace/up", 3, 200, 1.0))
JOB = Check("smoke", SmokeJob())


@dataclass
class Probed:
    """Smoke tests whose probes answer what is queued in `answers`: a status, or None for silence."""

    answers: list[int | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    lanes: Lanes = field(default_factory=lambda: Lanes({"probe": 2}))

    def __post_init__(self) -> None:
        self.tests = SmokeTests(self.probe, self.lanes)

    def probe(self, url: str, timeout: float) -> int:
        """The probe."""
        self.asked.append(url)
        status = self.answers.pop(0)
        if status is None:
            raise Fault("probe", f"no answer within {timeout:g} s")
        return status

    def ask(self, check: Check = PROBE, policy: str = "p", revision: int = 2) -> SmokeResult:
        """What is known now; and wait for the probe that this set off."""
        result = self.tests.result(policy, rollout(revision), check, ())
        until(lambda: self.lanes.busy() == 0, "the probe")
        return result

    def states(self, count: int) -> list[str]:
        """The states of so many passes."""
        return [self.ask().state for _ in range(count)]


def test_failures_in_a_row_fail() -> None:
    """Three wrong answers running are a breach, two are not yet."""
    probed = Probed([500, 500, 500, 500, 500])
    assert probed.states(4) == ["pending", "pending", "pending", "failed"]
    assert probed.ask().said == "up: http://checkout.shop/up answers 500, 4 times running"


def test_a_right_answer_ends_the_run() -> None:
    """A success in between starts the count over."""
    probed = Probed([500, 500, 200, 500, 500, 200])
    assert probed.states(6) == ["pending", "pending", "pending", "passed", "pending", "pending"]


def test_a_failure_needs_a_right_answer_before_it() -> None:
    """Nobody asked before the rollout: until the probe has answered right since, its failure carries a guard."""
    probed = Probed([500, 500, 500, 200, 500, 500, 500, 200])
    results = [probed.ask() for _ in range(8)]
    assert [(r.state, r.guard) for r in results if r.state == "failed"] == [
        ("failed", "never-answered-right"),
        ("failed", ""),
    ]


def test_silence_is_no_right_answer() -> None:
    """A timeout neither stands for a right answer nor takes one back."""
    probed = Probed([None, 500, 500, 500, None, 200, None, 500, 500, 500, 200])
    results = [probed.ask() for _ in range(11)]
    assert {r.guard for r in results[:6] if r.state == "failed"} == {"never-answered-right"}
    assert (results[10].state, results[10].guard) == ("failed", "")


def test_a_right_answer_is_its_own_rollouts() -> None:
    """What answered right for one revision tells nothing of the next one's failure."""
    probed = Probed([200, 500, 500, 500, 200])
    probed.states(1)
    assert [probed.ask(revision=3).guard for _ in range(4)] == ["", "", "", "never-answered-right"]


def test_silence_neither_counts_nor_ends_a_run() -> None:
    """No answer may be this daemon's own network: it is Unknown, and the run goes on behind it."""
    probed = Probed([500, None, 500, None, 500, 200])
    assert probed.states(6) == ["pending", "pending", "unanswered", "pending", "unanswered", "failed"]


def test_a_breach_is_told_by_its_answers() -> None:
    """Evidence of a failed probe names the answer that failed, though the last probe got none."""
    probed = Probed([500, 500, 500, None, 200])
    probed.states(4)
    assert probed.ask().said == "up: http://checkout.shop/up answers 500, 3 times running"


def test_rollouts_and_policies_have_runs_of_their_own() -> None:
    """Another revision begins anew, and so does another policy's check of the same name."""
    probed = Probed([500, 500, 500, 500, 200, 200])
    probed.states(4)
    assert probed.ask(revision=3).state == "pending"
    other = Check("up", SmokeProbe("http://other/up", 3, 200, 1.0))
    assert probed.ask(other, "q").said == "up: http://other/up not asked yet"


def test_forgets_what_is_not_under_watch() -> None:
    """A rollout that left the watch and comes back is asked from the beginning."""
    probed = Probed([200, 200])
    probed.states(1)
    probed.tests.forget_all_but(frozenset({rollout().key}))
    assert probed.ask().state == "passed"
    probed.tests.forget_all_but(frozenset())
    probed.answers = [200]
    assert "not asked yet" in probed.ask().said


def test_a_pass_does_not_wait_for_a_probe() -> None:
    """A probe that hangs is not waited for, and not made a second time beside itself."""
    gate, asked = threading.Event(), list[str]()

    def hang(url: str, timeout: float) -> int:
        asked.append(url)
        gate.wait(10)
        return 200

    lanes = Lanes({"probe": 4})
    tests = SmokeTests(hang, lanes)
    for _ in range(20):
        assert tests.result("p", rollout(), PROBE, ()).state == "pending"
    until(lambda: bool(asked), "the probe")
    assert len(asked) == 1
    gate.set()
    until(lambda: lanes.busy() == 0, "the probe")


def job(name: str, *conditions: tuple[str, str, str]) -> dict[str, Any]:
    """A Job with conditions: type, status, message."""
    told = [{"type": kind, "status": status, "message": said} for kind, status, said in conditions]
    return {"metadata": {"name": name}, "status": {"conditions": told} if told else {}}


FAILED = ("Failed", "True", "BackoffLimitExceeded")
COMPLETE = ("Complete", "True", "")
CASES: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "none": ([], "none", "smoke: no Job tests shop/checkout yet"),
    "runs": ([job("a")], "pending", "smoke: Job a still runs"),
    "failed": ([job("a", FAILED)], "failed", "smoke: Job a failed: BackoffLimitExceeded"),
    "complete": ([job("a", COMPLETE)], "passed", "smoke: Job a is complete"),
    "not yet true": ([job("a", ("Failed", "False", ""))], "pending", "smoke: Job a still runs"),
    "mended": ([job("a", FAILED), job("b", COMPLETE)], "passed", "smoke: Job b is complete"),
    "broken": ([job("a", COMPLETE), job("b", FAILED)], "failed", "smoke: Job b failed: BackoffLimitExceeded"),
    "newest runs": ([job("a", FAILED), job("b")], "failed", "smoke: Job a failed: BackoffLimitExceeded"),
    "about to": ([job("a", ("FailureTarget", "True", "x"))], "pending", "smoke: Job a still runs"),
}


@pytest.mark.parametrize(("jobs", "state", "said"), CASES.values(), ids=CASES.keys())
def test_the_newest_job_that_has_ended_counts(jobs: list[dict[str, Any]], state: str, said: str) -> None:
    """Of a rollout's Jobs, oldest first, the newest that has ended says how the smoke test went."""
    assert job_result(JOB, rollout(), jobs) == SmokeResult(state, said)  # type: ignore[arg-type]
    unused: Probe = lambda url, timeout: 0  # noqa: E731
    assert SmokeTests(unused, Lanes({"probe": 1})).result("p", rollout(), JOB, jobs).state == state
