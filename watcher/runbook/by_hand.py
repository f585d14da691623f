"""A rollback that a person orders: the case that they open, which then goes through the same steps as any other. Pure.

`canary-watch rollback` writes it; the daemon takes it up from there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from watcher.judgement.model import Rollout
from watcher.judgement.rollouts import target_of
from watcher.runbook.case import BY_HAND, Case, case_id
from watcher.runbook.document import plain
from watcher.runbook.progress import turned_over

LONGEST_REASON = 500  # characters: it is in every message, and in an annotation


@dataclass(frozen=True, slots=True)
class Order:
    """What a person wants: to which revision (0: the newest good one), why, and when they said so (epoch seconds)."""

    target: int
    reason: str
    at: float


def order_of(target: int, reason: str, who: str, at: float) -> Order:
    """Make the order of what a person typed: the reason in one line, cut, and who gave it."""
    return Order(target, f"{plain(reason, LONGEST_REASON)} (ordered by {plain(who, 100)})", at)


def refused(rollout: Rollout, order: Order, *, scale_to_zero: bool) -> str:
    """Say why an order can't be carried out, and what could be; empty where it can."""
    every = (rollout.new, *rollout.earlier)
    numbers = ", ".join(str(revision.number) for revision in every)
    if not rollout.earlier and not scale_to_zero:
        return f"revision {rollout.new.number} is the only one: there is nothing to roll back to"
    if not rollout.earlier and rollout.new.number != 1:
        left = f"revision {rollout.new.number} is the only one left"
        return f"{left}: there is nothing to roll back to, and none but a first revision is scaled to zero"
    if order.target == rollout.new.number:
        return f"revision {order.target} is what {rollout.name} has now"
    if order.target in rollout.new.former and target_of(rollout, order.target) is None:
        return f"revision {order.target} is what {rollout.name} has now, as revision {rollout.new.number}"
    condemned = [str(r.number) for r in rollout.earlier if r.verdict == "condemned"]
    if order.target and target_of(rollout, order.target) is None:
        if str(order.target) in condemned:
            return f"revision {order.target} was rolled back itself; there are {numbers}"
        return f"{rollout.name} has no revision {order.target}; there are {numbers}"
    if rollout.earlier and target_of(rollout, order.target) is None:
        return f"every earlier revision of {rollout.name} was rolled back itself: {', '.join(condemned)}"
    return ""


def ordered(rollout: Rollout, place: tuple[str, str], order: Order) -> Case:
    """Make the case of an order. `place` is the cluster's name and region."""
    return Case(
        id=case_id(place, rollout),
        cluster=place[0],
        region=place[1],
        namespace=rollout.namespace,
        deployment=rollout.deployment,
        uid=rollout.uid,
        action="RollBack",
        reason=BY_HAND,
        said=order.reason,
        policy="",
        check="",
        bad=rollout.new.number,
        bad_replica_set=rollout.new.replica_set,
        opened=order.at,
        ordered=order.at,
        rollout_started=rollout.started,
        target=order.target,
        scale_to_zero=not rollout.earlier,
    )


def under_way(case: Case) -> str:
    """Say why there is nothing to order about a revision that has a case; empty where there is.

    A hold, or what has ended without a rollback, can be turned into one.
    """
    if case.rolled_back:
        return f"it was rolled back in case {case.id}"
    if case.is_open and case.action == "RollBack" and not case.outcome:
        return f"it is being rolled back in case {case.id}"
    return ""


def still_verified(cases: Iterable[Case], rollout: Rollout, order: Order) -> str:
    """Say so where a rollback of the Deployment is made and not verified yet, and the order names no revision.

    Given twice by mistake, it would go back one revision further.
    """
    mine = (case for case in cases if case.uid == rollout.uid and case.is_open and not case.outcome)
    found = None if order.target else next((case for case in mine if case.rolled_back), None)
    if found is None:
        return ""
    made = f"revision {found.bad} was rolled back in case {found.id}, which is being verified"
    return f"{made}; to go further back now, say to which revision"


def reordered(case: Case, order: Order, rollout: Rollout) -> Case:
    """Turn the revision's case over to the order. What its check found stays in the evidence."""
    turned = turned_over(case)
    said = f"{order.reason}; {case.said}" if case.reason != BY_HAND else order.reason
    return replace(
        turned,
        action="RollBack",
        reason=BY_HAND,
        said=said,
        ordered=order.at,
        target=order.target or case.target,
        scale_to_zero=not rollout.earlier,
    )
