"""PromQL texts for many rollouts at once: Grafana's multi-value variables filled with the rollouts under watch.

One text asks for all rollouts (DESIGN: one range query for each PromQL text), and can be pasted into Grafana as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from watcher.judgement.model import Grid, Rollout
from watcher.judgement.rollouts import pod_prefix
from watcher.policy.model import MOST_POINTS, Check, Policy, Ratio, Value

_VARIABLE = re.compile(r"\$(namespace|deployment|pod)\b")


def texts_of(check: Check) -> tuple[str, ...]:
    """Name the PromQL texts of a check: two for a ratio, one for a value, none for a smoke test."""
    if isinstance(check.kind, Ratio):
        return (check.kind.bad, check.kind.total)
    if isinstance(check.kind, Value):
        return (check.kind.query,)
    return ()


def _exact(name: str) -> str:
    """Give the RE2 pattern of one name. It holds letters, digits, dashes and dots: `[.]` does in any quotes."""
    return name.replace(".", "[.]")


def pods_of(replica_set: str) -> str:
    """Give the RE2 pattern of a ReplicaSet's pods: its name, a dash and one segment without a dash.

    Where the name is so long that Kubernetes cuts it, the dash may be lost, and five random characters follow.
    """
    prefix = pod_prefix(replica_set)
    return _exact(prefix) + ("[^-]+" if prefix == f"{replica_set}-" else "[^-]{5}")


def _any_of(patterns: Iterable[str]) -> str:
    """Make an RE2 alternation, in brackets as Grafana's are, so that a policy may write `$deployment-.*`."""
    each = sorted(set(patterns))
    return each[0] if len(each) == 1 else f"({'|'.join(each)})"


def fill(text: str, rollouts: Iterable[Rollout]) -> str:
    """Fill `$namespace`, `$deployment` and `$pod` with the names of `rollouts`; `$pod` means both revisions' pods."""
    every = list(rollouts)
    pods = {r.replica_set for one in every for r in (one.new, *one.control)}
    values = {
        "namespace": _any_of(_exact(r.namespace) for r in every),
        "deployment": _any_of(_exact(r.deployment) for r in every),
        "pod": _any_of(pods_of(name) for name in pods),
    }
    return _VARIABLE.sub(lambda found: values[found[1]], text)


@dataclass(frozen=True, slots=True)
class Question:
    """One range query: the policy's `text`, the filled `query`, and the instants asked for."""

    text: str
    query: str
    grid: Grid


def points_for(seconds: float, step: float) -> int:
    """Say how many instants, `step` apart, cover `seconds`, both ends included."""
    return math.ceil(seconds / step - 1e-9) + 1


def questions(
    watched: Sequence[tuple[Rollout, Sequence[Policy]]],
    known_before: Mapping[tuple[str, int], frozenset[str]],
    now: float,
    step: float,
) -> tuple[Question, ...]:
    """Put together one range query for each PromQL text, for all rollouts that ask it.

    A range reaches back over the check's `for`; where a rollout's past (`for` before its start) is not in
    `known_before` (texts by rollout), it reaches back over that too. A past that lies further back than Prometheus
    answers for is not asked for, and stays unknown. `now` and `step` are seconds; the end is a whole millisecond,
    Prometheus's own precision.
    """
    end = math.floor(now * 1000) / 1000
    asking: dict[str, list[Rollout]] = {}
    back: dict[str, float] = {}
    for rollout, policies in watched:
        seen = known_before.get(rollout.key, frozenset())
        for check in (c for p in policies for c in p.checks):
            reach, texts = check.hold_for, texts_of(check)
            past = max(reach, end - rollout.started + reach + step)
            # A ratio's two texts reach equally far: a count alone tells nothing of the time before.
            known = seen.issuperset(texts)
            needed = reach if known or points_for(past, step) > MOST_POINTS else past
            for text in texts:
                asking.setdefault(text, []).append(rollout)
                back[text] = max(back.get(text, 0.0), needed)
    return tuple(
        Question(text, fill(text, rollouts), Grid(end, step, points_for(back[text], step)))
        for text, rollouts in asking.items()
    )
