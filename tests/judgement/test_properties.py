"""Whatever Prometheus and the cluster send: no exception, no breach and no rollback without evidence for it."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.judgement.made import INF, NAN, NEW, OLD, POLICY, RATIO, ROLLOUT, START, STEP, VALUE_CHECK, ratio_check
from watcher.judgement.decide import GUARDS, Circumstances, Judged, came_through, decide
from watcher.judgement.judge import REASONS, Question, before_of, judge
from watcher.judgement.model import Answer, Evidence, Grid, Pause, Rollout, Series, Verdict
from watcher.judgement.queries import questions
from watcher.judgement.readings import Subjects, read_ratios, read_values
from watcher.policy.model import Check, Ratio, Value

LIMIT = 0.5
INSTANTS = 14
HOLDS = st.sampled_from([0.0, 15.0, 20.0, 60.0, 100.0])
ENDS = st.floats(START - 60, START + 400).map(math.floor).map(float)
NUMBERS = st.one_of(
    st.sampled_from([0.9, 0.9, 0.9, 0.9, 0.51, 0.5, 0.2, 0.0, NAN, INF, -INF, -5.0, 1e308, 5e-324]),
    st.floats(allow_nan=True, allow_infinity=True),
)
SHIFTS = st.sampled_from([0.0] * 12 + [0.0005, 7.0, -7.0, 1e9])
SAMPLES = st.lists(st.one_of(st.none(), st.tuples(NUMBERS, SHIFTS)), min_size=INSTANTS, max_size=INSTANTS)
MOSTLY_HIGH = st.lists(
    st.sampled_from([(0.9, 0.0)] * 30 + [(0.2, 0.0), (NAN, 0.0)]), min_size=INSTANTS, max_size=INSTANTS
)
PODS = st.sampled_from([f"{NEW.replica_set}-aaaaa", f"{NEW.replica_set}-bbbbb", f"{OLD.replica_set}-ccccc", "else"])

Samples = list[tuple[float, float] | None]


def series(labels: dict[str, str], grid: Grid, samples: Samples) -> Series:
    """One series with these samples, each at its instant or beside it."""
    pairs = zip(grid.times(), samples, strict=True)
    return Series({"namespace": "shop", **labels}, tuple((at + s[1], s[0]) for at, s in pairs if s is not None))


def present_and_above(grid: Grid, samples: Samples, hold_for: float) -> bool:
    """Say, in the plainest words, whether every reading of `for` is there, above, and after the start."""
    needed = 1 + math.ceil(hold_for / STEP)
    times = grid.times()[-needed:]
    window = samples[-needed:]
    return len(window) == needed and all(
        at > START and s is not None and abs(s[1]) < 1 and math.isfinite(s[0]) and s[0] > LIMIT
        for at, s in zip(times, window, strict=True)
    )


@settings(max_examples=300, deadline=None)
@given(samples=st.one_of(SAMPLES, MOSTLY_HIGH), ends=ENDS, hold_for=HOLDS)
def test_a_value_breaches_exactly_when_its_for_is_full(samples: Samples, ends: float, hold_for: float) -> None:
    """Never a breach without every reading of its `for` present and above; never an exception; never a missed one."""
    grid = Grid(ends, STEP, INSTANTS)
    check = replace(VALUE_CHECK, hold_for=hold_for)
    answer = Answer("q", grid, (series({"deployment": "checkout"}, grid, samples),))
    reading = read_values(Value("q"), Subjects([ROLLOUT]), answer)[ROLLOUT.key]
    question = Question(ROLLOUT, POLICY, check)
    verdict = judge(question, reading, before_of(question, reading))
    assert (verdict.outcome == "Breached") == present_and_above(grid, samples, hold_for)
    assert REASONS[verdict.reason] == verdict.outcome


@settings(max_examples=300, deadline=None)
@given(
    bad=st.lists(st.tuples(PODS, SAMPLES), max_size=4),
    total=st.lists(st.tuples(PODS, SAMPLES), max_size=4),
    ends=ENDS,
    hold_for=HOLDS,
    control=st.booleans(),
)
def test_a_ratio_breaches_only_when_its_for_is_full(
    bad: list[tuple[str, Samples]], total: list[tuple[str, Samples]], ends: float, hold_for: float, control: bool
) -> None:
    """Whatever the counts, nothing raises, and a breach has a finite ratio above at every reading of its `for`."""
    grid = Grid(ends, STEP, INSTANTS)
    check = ratio_check(control=control, hold_for=hold_for)
    answers = [Answer("q", grid, tuple(series({"pod": p}, grid, s) for p, s in found)) for found in (bad, total)]
    reading = read_ratios(RATIO, Subjects([ROLLOUT]), *answers)[ROLLOUT.key]
    question = Question(ROLLOUT, POLICY, check)
    verdict = judge(question, reading, before_of(question, reading))
    assert REASONS[verdict.reason] == verdict.outcome
    if verdict.outcome != "Breached":
        return
    needed = 1 + math.ceil(hold_for / STEP)
    for index in range(INSTANTS - needed, INSTANTS):
        assert grid.times()[index] > START
        counts = [_sum(found, index) for found in (bad, total)]
        assert counts[1] > 0
        assert counts[0] / counts[1] > 0.01


def _sum(found: list[tuple[str, Samples]], index: int) -> float:
    """The new pods' sum at one instant; a sample that is no finite number fails."""
    counted = 0.0
    for pod, samples in found:
        sample = samples[index]
        if pod.startswith(NEW.replica_set) and sample is not None and abs(sample[1]) < 1:
            assert math.isfinite(sample[0])
            counted += sample[0]
    return counted


ROLLOUTS = st.builds(
    lambda number, verdicts, paused: replace(
        ROLLOUT,
        new=replace(NEW, number=number),
        earlier=tuple(replace(OLD, number=number - 1 - i, verdict=v) for i, v in enumerate(verdicts)),
        spec_paused=paused,
    ),
    st.integers(1, 3),
    st.lists(st.sampled_from(["", "proven", "condemned"]), max_size=3),
    st.booleans(),
)
VERDICTS = st.builds(
    lambda reason, guard: Verdict(
        REASONS[reason], reason, Evidence(""), POLICY, VALUE_CHECK, guard if REASONS[reason] == "Breached" else ""
    ),
    st.sampled_from(sorted(REASONS)),
    st.sampled_from(["", *GUARDS]),
)


@settings(max_examples=300, deadline=None)
@given(
    rollout=ROLLOUTS,
    verdicts=st.lists(VERDICTS, max_size=4).map(tuple),
    ended=st.booleans(),
    paused=st.booleans(),
    acted_on=st.booleans(),
)
def test_a_rollback_has_its_breach_and_its_target(
    rollout: Rollout, verdicts: tuple[Verdict, ...], ended: bool, paused: bool, acted_on: bool
) -> None:
    """RollBack needs an unguarded breach, a revision to go back to, a watch that lasts, and nothing that holds."""
    judged = Judged(rollout, (POLICY,), verdicts, ended)
    pauses = {rollout.key: Pause("here")} if paused else {}
    cases = {rollout.key: "c-1"} if acted_on else {}
    [decision] = decide([judged], Circumstances(pauses, cases))
    unguarded = any(v.outcome == "Breached" and not v.guard for v in verdicts)
    sound = any(r.verdict != "condemned" for r in rollout.earlier)
    free = not (paused or acted_on or ended or rollout.spec_paused)
    assert (decision.action == "RollBack") == (unguarded and sound and free)
    if any(v.outcome == "Breached" for v in verdicts):
        assert not came_through(judged, decision, 1.0)
    if decision.action == "RollBack":
        assert decision.verdict is not None
        assert (decision.verdict.outcome, decision.verdict.guard) == ("Breached", "")


@settings(max_examples=200, deadline=None)
@given(now=st.floats(START, START + 40_000), step=st.sampled_from([0.5, 1.0, 15.0, 60.0]), known=st.booleans())
def test_ranges_end_now_and_cover_the_for(now: float, step: float, known: bool) -> None:
    """At any time of a watch the range covers `for` and ends at the last millisecond, within Prometheus's limit."""
    seen = {ROLLOUT.key: frozenset({"bad", "total", "p99"})} if known else {}
    for question in questions([(ROLLOUT, (POLICY,))], seen, now, step):
        grid = question.grid
        assert now - 0.0011 < grid.end <= now
        assert grid.count <= 11_000
        assert grid.start <= grid.end - 60 + 1e-6
        too_far = (now - START + 60 + step) / step > 10_998
        assert known or too_far or grid.start <= START - 60


def test_checks_of_this_file_are_the_policys() -> None:
    """The threshold and the kinds that the properties count by are those of the checks."""
    assert VALUE_CHECK.threshold is not None
    assert VALUE_CHECK.threshold.value == LIMIT
    check: Check = ratio_check()
    assert isinstance(check.kind, Ratio)
    assert check.threshold is not None
    assert check.threshold.value == 0.01
