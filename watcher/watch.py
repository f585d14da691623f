"""ONE pass: see the rollouts, ask Prometheus, judge, decide, open cases, advance them. Reads as DESIGN's six lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

from watcher.asking import Asker
from watcher.judgement.decide import Brakes, Circumstances, Judged, came_through, decide, say_counts
from watcher.judgement.judge import Before, Question, before_of, judge, with_unknown_past
from watcher.judgement.model import Answer, Decision, Rollout, Verdict
from watcher.judgement.queries import questions, texts_of
from watcher.judgement.readings import Reading, Subjects, read_ratios, read_values
from watcher.judgement.rollouts import GRACE, watch_ends
from watcher.policy.model import Check, Policy, Ratio, SchemaQuery, SmokeJob, Value
from watcher.runbook.case import UNSETTLED_SCHEMA, Case
from watcher.runbook.desk import Desk
from watcher.runbook.marks import Marks
from watcher.runbook.migrations import asked_of
from watcher.runbook.ports import Prometheus
from watcher.runbook.progress import unsettled
from watcher.smoke import SmokeTests
from watcher.view import View, Watched

# Verdicts that tell nothing of the past, however far back is asked: one such must not make every pass ask for it.
UNREADABLE = frozenset({"no-threshold", "ambiguous-series"})

# Holds that end, and then in the rollback that was put off: their rollouts stay under watch until then.
PUT_OFF = frozenset({"paused", "spec-paused", "brake-deployment", "brake-cluster", "past-unknown", UNSETTLED_SCHEMA})

Key = tuple[str, int]
CheckKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass saw and did."""

    now: float
    watched: tuple[Watched, ...]
    decisions: tuple[Decision, ...]
    proven: tuple[Rollout, ...]
    queries: int
    seconds: float

    @property
    def said(self) -> str:
        """The pass in one sentence."""
        proven = (
            f"; proven: {', '.join(f'{r.name} revision {r.new.number}' for r in self.proven)}" if self.proven else ""
        )
        counts = say_counts(self.decisions)
        return f"{len(self.watched)} rollouts under watch, {self.queries} queries: {counts}{proven}"


@dataclass(frozen=True, slots=True)
class Hands:
    """What a pass acts with: the desk of cases, the marks on ReplicaSets, the brakes.

    `interval` is the seconds from one to the next, `patience` those that it waits for Prometheus.
    """

    desk: Desk
    marks: Marks
    interval: float
    brakes: Brakes
    patience: float


class Watch:
    """Makes passes. Keeps the time before each rollout, which history can tell again, and how often it was healthy."""

    def __init__(
        self,
        view: View,
        prometheus: Prometheus,
        smoke: SmokeTests,
        policies: Callable[[], tuple[Policy, ...]],
        hands: Hands,
    ) -> None:
        self._view = view
        self._asker = Asker(prometheus, hands.patience)
        self._smoke = smoke
        self._policies = policies
        self._desk, self._marks, self._interval = hands.desk, hands.marks, hands.interval
        self._brakes = hands.brakes
        self._before: dict[Key, dict[CheckKey, Before]] = {}
        self._unreadable: dict[Key, frozenset[CheckKey]] = {}
        self._last: tuple[float, dict[str, tuple[Rollout, bool]]] = (0.0, {})
        self._unknown_since: dict[Key, float] = {}
        self._passes: dict[Key, tuple[int, int]] = {}

    def one_pass(self, now: float) -> Pass:
        """Make one pass at `now`, epoch seconds: look at everything, and have done what can be done."""
        seen = self.look(now)
        self._act(seen)
        self._desk.advance()
        return seen

    def look(self, now: float) -> Pass:
        """See, ask, judge and decide, and change nothing."""
        begun = time.monotonic()
        policies = self._policies()
        cases = self._desk.every()
        watched = self._view.under_watch(policies, now, frozenset((c.uid, c.bad) for c in cases if _put_off(c)))
        answers = self._ask(watched, now)
        judged = self._judge(policies, watched, answers, now)
        pauses = {w.rollout.key: pause for w in watched if (pause := self._view.pause_for(w.rollout, now))}
        recent = self._desk.rollbacks_since(now - 3600)
        desk = self._desk
        known = (pauses, desk.acted_on(), recent, self._brakes, desk.barred(), desk.taken_back())
        decisions = decide(judged, Circumstances(*known))
        through = [j.rollout for j, d in zip(judged, decisions, strict=True) if came_through(j, d, self._count(d))]
        cased = {(c.uid, c.bad) for c in cases}
        proven = tuple(r for r in through if r.new.verdict != "proven" and r.key not in cased)
        self._forget(watched)
        return Pass(now, watched, decisions, proven, len(answers), time.monotonic() - begun)

    def _act(self, seen: Pass) -> None:
        """Open a case for each decision to act, end holds that are over, and mark revisions. All of it in lanes."""
        for decision in seen.decisions:
            self._desk.take(decision)
        under_watch = {w.rollout.key for w in seen.watched if not w.ended}
        lost = self._lost(seen)
        for case in self._desk.every():
            key = (case.uid, case.bad)
            if case.is_open and (key not in under_watch or key in lost):
                self._end(case)
        for rollout in seen.proven:
            self._marks.prove(rollout)
        self._doubt(seen)
        self._record(seen)

    def _record(self, seen: Pass) -> None:
        """Record on the ReplicaSets what can't be told later: a reused one's start, the schema that it serves with."""
        proven = {rollout.key for rollout in seen.proven}
        for watched in seen.watched:
            rollout = watched.rollout
            if watched.unrecorded:
                self._marks.record_start(rollout)
            query = _schema_to_see(watched)
            if query and (rollout.key in proven or rollout.new.verdict == "proven"):
                self._marks.await_schema(rollout, query, watch_ends(rollout, watched.policies))
        self._marks.record_schemas(seen.now, self._view.newest_revision)

    def _doubt(self, seen: Pass) -> None:
        """Mark the revisions that were replaced while they were not healthy: the last to roll back to."""
        then, last = self._last
        fresh = seen.now - then <= 4 * self._interval  # another daemon may have led since
        for uid, (rollout, healthy) in last.items() if fresh else ():
            newest = self._view.newest_revision(uid)
            if not healthy and newest is not None and newest != rollout.new.number:
                self._marks.doubt(rollout)
        self._last = (seen.now, {d.rollout.uid: (d.rollout, d.reason == "healthy") for d in seen.decisions})

    def _lost(self, seen: Pass) -> frozenset[Key]:
        """The rollouts that a hold keeps under watch, while it is gone, and nothing has been known of them for long."""
        kept = zip(seen.watched, seen.decisions, strict=True)
        unknown = [w.rollout for w, d in kept if w.held and d.action == "KeepWatching" and d.reason == "unknown"]
        silent = {r.key for r in unknown if not (r.spec_paused or self._view.pause_for(r, seen.now))}
        self._unknown_since = {key: self._unknown_since.get(key, seen.now) for key in silent}
        over = {w.rollout.key for w in seen.watched if seen.now >= watch_ends(w.rollout, w.policies)}
        return frozenset(key for key, since in self._unknown_since.items() if key in over and seen.now - since > GRACE)

    def _end(self, case: Case) -> None:
        """End what is left undecided about a rollout that is no longer under watch.

        Where a newer revision is there, it may be the rollback itself, unrecorded yet: its step finds out.
        """
        newest = self._view.newest_revision(case.uid) == case.bad
        if newest or case.action == "Hold":
            self._desk.end(case, "watch-ended" if newest else "superseded")

    def _ask(self, watched: Sequence[Watched], now: float) -> dict[str, Answer]:
        """Ask one range query for each PromQL text, side by side; none when nothing is under watch."""
        asking = [(w.rollout, [p for p in w.policies if w.asks(p, now)]) for w in watched]
        known = {r.key: _settled(mine, self._learnt(r.key)) for r, mine in asking}
        return self._asker.ask(questions(asking, known, now, self._interval))

    def _learnt(self, key: Key) -> frozenset[CheckKey]:
        """The checks of a rollout whose past is known, or can't be learnt for now and isn't worth a long range."""
        return frozenset(self._before.get(key, {})) | self._unreadable.get(key, frozenset())

    def _judge(
        self, policies: Sequence[Policy], watched: Sequence[Watched], answers: Mapping[str, Answer], now: float
    ) -> tuple[Judged, ...]:
        """Read each check's answers once for all of its rollouts, and judge each rollout by its own readings."""
        verdicts: dict[Key, list[Verdict]] = {w.rollout.key: [] for w in watched}
        self._unreadable.clear()
        for policy in policies:
            mine = [w.rollout for w in watched if w.asks(policy, now)]
            for check in policy.checks if mine else ():
                readings = self._read(policy, check, mine, answers)
                for rollout in mine:
                    verdicts[rollout.key].append(self._judge_one(Question(rollout, policy, check), readings))
        return tuple(Judged(w.rollout, w.policies, tuple(verdicts[w.rollout.key]), w.ended) for w in watched)

    def _judge_one(self, question: Question, readings: Mapping[Key, Reading]) -> Verdict:
        reading = readings[question.rollout.key]
        known = self._before.setdefault(question.rollout.key, {})
        place = (question.policy.name, question.check.name)
        before = before_of(question, reading, known.get(place))
        if before is not None:
            known[place] = before
        verdict = with_unknown_past(judge(question, reading, before), before)
        if verdict.reason in UNREADABLE:
            key = question.rollout.key
            self._unreadable[key] = self._unreadable.get(key, frozenset()) | {place}
        return verdict

    def _read(
        self, policy: Policy, check: Check, rollouts: Sequence[Rollout], answers: Mapping[str, Answer]
    ) -> Mapping[Key, Reading]:
        texts = texts_of(check)
        if isinstance(check.kind, Ratio):
            return read_ratios(check.kind, Subjects(rollouts), answers[texts[0]], answers[texts[1]])
        if isinstance(check.kind, Value):
            return read_values(check.kind, Subjects(rollouts), answers[texts[0]])
        label = check.kind.label if isinstance(check.kind, SmokeJob) else ""
        jobs = {r.key: self._view.jobs_for(r, label) if label else [] for r in rollouts}
        return {r.key: self._smoke.result(policy.name, r, check, jobs[r.key]) for r in rollouts}

    def _count(self, decision: Decision) -> float:
        """Count this pass for a rollout; the share of its passes in which it was healthy, 0 to 1."""
        healthy, passes = self._passes.get(decision.rollout.key, (0, 0))
        healthy, passes = healthy + (decision.reason == "healthy"), passes + 1
        self._passes[decision.rollout.key] = healthy, passes
        return healthy / passes

    def _forget(self, watched: Sequence[Watched]) -> None:
        keys = frozenset(w.rollout.key for w in watched)
        self._before = {key: known for key, known in self._before.items() if key in keys}
        self._passes = {key: counts for key, counts in self._passes.items() if key in keys}
        self._smoke.forget_all_but(keys)


def _schema_to_see(watched: Watched) -> SchemaQuery | None:
    """Where to read the schema's version that a rollout serves with; None where nothing tells, or it was seen."""
    new = watched.rollout.new
    query = next((p.migrations.version for p in watched.policies if p.migrations and p.migrations.version), None)
    seen = query is not None and new.schema and new.schema_by == asked_of(query)
    return None if seen else query


def _put_off(case: Case) -> bool:
    """Say whether a rollback is still to come: put off by a hold that will end, or decided and not made yet."""
    waits = case.is_open and not case.outcome and unsettled(case)
    return waits and (case.action == "RollBack" or case.reason in PUT_OFF)


def _settled(policies: Sequence[Policy], known: Set[CheckKey]) -> frozenset[str]:
    """The texts of whose past no check of a rollout's policies needs to know more; several may share a text."""
    asked = {(p.name, c.name): texts_of(c) for p in policies for c in p.checks}
    wanted = {text for place, texts in asked.items() if place not in known for text in texts}
    return frozenset(text for texts in asked.values() for text in texts) - wanted
