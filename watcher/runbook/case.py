"""The case: the durable record of one decision to act, and of each step's state. Values only; `cases` stores them.

A case is one JSON document in a ConfigMap. It is frozen: a step's outcome makes a new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from watcher.judgement.model import Decision, Rollout, Verdict

# Ends after which a person has to act, and might not look at an edited message.
ALARMING = frozenset({"not-verified", "gave-up", "migration-failed", "put-back"})

# Holds because of a migration: the database team is called for. The first may end by itself: it is looked at again.
UNSETTLED_SCHEMA = "schema-unreadable"
MIGRATION_HOLDS = frozenset({UNSETTLED_SCHEMA, "irreversible-migration", "destructive-migration", "down-job-failed"})

BY_HAND = "by-hand"  # the reason of a rollback that a person ordered

StepState = Literal["waiting", "trying", "done", "skipped", "failed"]
CaseAction = Literal["RollBack", "Hold", "Escalate"]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """How far one step is. `error` is the last failure, kept until a later attempt succeeds. Times are epoch seconds.

    `attempts` counts all of them, `failures` those in a row; `first_try` began the run that is not through yet.
    """

    state: StepState = "waiting"
    attempts: int = 0
    failures: int = 0
    first_try: float | None = None
    next_try: float = 0.0
    finished: float | None = None
    error: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Nothing more will be done for it."""
        return self.state in ("done", "skipped", "failed")

    @property
    def tried(self) -> bool:
        """It is over, or an attempt has come back."""
        return self.over or bool(self.error) or (self.attempts > 0 and self.state == "waiting")


@dataclass(frozen=True, slots=True)
class Case:
    """One decision to act on a Deployment's bad revision, and all that came of it.

    `bad` and `target` are revision numbers as of the opening; `target` is the one demanded, 0 where the newest good one
    will do. `scale_to_zero`: there is no earlier revision. `outcome` is empty while the runbook runs, then one of:
    verified, not-verified, migration-failed, put-back, overtaken, escalated, recovered, superseded, watch-ended,
    gave-up. `ending` says more of it. `turn` counts how often what is done about it has changed: a hold that became a
    rollback, say. `ordered` is when a person ordered it; `incident` another case's id, whose incident it goes on with.
    """

    id: str
    cluster: str
    region: str
    namespace: str
    deployment: str
    uid: str
    action: CaseAction
    reason: str
    said: str
    policy: str
    check: str
    bad: int
    bad_replica_set: str
    opened: float
    rollout_started: float
    verify_within: float = 600.0
    evidence: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, StepRecord] = field(default_factory=dict)
    outcome: str = ""
    ending: str = ""
    turn: int = 0
    closed: float | None = None
    target: int = 0
    scale_to_zero: bool = False
    ordered: float = 0.0
    incident: str = ""

    @property
    def name(self) -> str:
        """The ConfigMap's name, the same for whoever opens a case for this revision."""
        return case_name(self.uid, self.bad)

    @property
    def subject(self) -> str:
        """`namespace/deployment`."""
        return f"{self.namespace}/{self.deployment}"

    @property
    def place(self) -> str:
        """The cluster and its region, as every message says them."""
        return f"{self.cluster} ({self.region})"

    @property
    def incident_key(self) -> str:
        """What makes its page one incident, however often it is sent: PagerDuty's dedup key."""
        return self.incident or self.id

    @property
    def is_open(self) -> bool:
        """Whether steps may still have to be carried out."""
        return self.closed is None

    @property
    def rolled_back(self) -> bool:
        """Whether the revert itself was done; its step is also over where another change was found first."""
        return self.step("revert").state == "done" and self.result("revert", "to") is not None

    def step(self, name: str) -> StepRecord:
        """The record of a step; a blank one where it has not begun."""
        return self.steps.get(name, StepRecord())

    def result(self, step: str, key: str) -> Any:
        """One entry of a step's result, or None."""
        return self.step(step).result.get(key)

    def with_step(self, name: str, record: StepRecord) -> Case:
        """The same case with one step's record changed."""
        return replace(self, steps={**self.steps, name: record})

    def write(self) -> str:
        """The JSON text that the ConfigMap holds."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, sort_keys=True)


def case_name(uid: str, revision: int) -> str:
    """Name the case's ConfigMap from the Deployment's UID and the bad revision (DESIGN, "The case")."""
    return f"case-{uid}-r{revision}"


def read_case(text: str) -> Case:
    """Read a case back from its JSON; ValueError where it is none of ours."""
    try:
        raw = json.loads(text)
        steps = {name: StepRecord(**_known(StepRecord, record)) for name, record in raw.pop("steps").items()}
        case = Case(**_known(Case, raw), steps=steps)
    except (KeyError, TypeError, AttributeError) as flaw:
        raise ValueError(f"not a case: {flaw}") from flaw
    if not _sound(case):
        raise ValueError("not a case: a value is of a kind that no case has")
    return case


def _known(kind: type[Case] | type[StepRecord], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what another version of the daemon wrote and this one doesn't know."""
    names = {known.name for known in fields(kind)}
    return {key: value for key, value in raw.items() if key in names}


def _sound(case: Case) -> bool:
    """Whether what the daemon counts, compares and looks up is of its kind: ConfigMaps can be edited by hand."""
    words = (
        case.id,
        case.cluster,
        case.region,
        case.namespace,
        case.deployment,
        case.uid,
        case.said,
        case.outcome,
        case.ending,
        case.reason,
        case.policy,
        case.check,
        case.bad_replica_set,
        case.incident,
    )
    times = [case.opened, case.rollout_started, case.verify_within, case.ordered, case.closed or 0.0]
    records = case.steps.values()
    times += [t for r in records for t in (r.next_try, r.first_try, r.finished) if t is not None]
    return (
        case.action in get_args(CaseAction)
        and all(isinstance(word, str) for word in words)
        and all(
            isinstance(number, int)
            for number in (case.bad, case.turn, case.target, *(r.attempts + r.failures for r in records))
        )
        and all(isinstance(moment, int | float) for moment in times)
        and isinstance(case.evidence, dict)
        and all(r.state in get_args(StepState) and isinstance(r.result, dict) for r in records)
    )


def case_id(place: tuple[str, str], rollout: Rollout) -> str:
    """Name a case for people and vendors: cluster and region first, for clusters share Slack, PagerDuty and Jira.

    At most 255 characters, as PagerDuty's dedup keys are.
    """
    subject = f"{place[0]}/{place[1]}/{rollout.namespace}/{rollout.deployment}"[:200]
    return f"{subject}/r{rollout.new.number}-{rollout.uid[:8]}"


def open_case(decision: Decision, place: tuple[str, str], now: float) -> Case:
    """Make the case of a decision to act. `place` is the cluster's name and region; `now` epoch seconds."""
    rollout, verdict = decision.rollout, decision.verdict
    if decision.action == "KeepWatching" or (verdict is None and decision.action != "Escalate"):
        raise ValueError(f"no case is opened to {decision.action}")
    return Case(
        id=case_id(place, rollout),
        cluster=place[0],
        region=place[1],
        namespace=rollout.namespace,
        deployment=rollout.deployment,
        uid=rollout.uid,
        action=decision.action,
        reason=decision.reason,
        said=decision.said,
        bad=rollout.new.number,
        bad_replica_set=rollout.new.replica_set,
        opened=now,
        rollout_started=rollout.started,
        scale_to_zero=decision.action == "RollBack" and not rollout.earlier,
        **(grounds(verdict) if verdict else {"policy": "", "check": ""}),
    )


def grounds(verdict: Verdict) -> dict[str, Any]:
    """What a case keeps of the verdict that it rests on: the check, its numbers, how long verifying may take."""
    evidence = verdict.evidence
    return {
        "policy": verdict.policy.name,
        "check": verdict.check.name,
        "verify_within": verdict.policy.verify_within,
        "target": verdict.policy.rollback_to,
        "evidence": {
            "observed": evidence.observed,
            "threshold": evidence.threshold,
            "since": evidence.since,
            "numbers": dict(evidence.numbers),
        },
    }
