"""What a person may order, and the case that comes of it: pure; the desk's part is in `test_by_hand_desk`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.runbook.parts import NOW, case_of, rollout
from watcher.judgement.model import Rollout
from watcher.runbook.by_hand import LONGEST_REASON, Order, order_of, ordered, refused, reordered

ORDER = Order(0, "it loses orders (ordered by maria@laptop)", NOW)


def alone(number: int) -> Rollout:
    """The rollout of a revision beside which there is no other."""
    return replace(rollout(number), earlier=())


@pytest.mark.parametrize(
    ("about", "scales", "why_not"),
    [
        (rollout(), False, ""),
        (alone(1), True, ""),
        (alone(1), False, "revision 1 is the only one"),
        (alone(4), False, "revision 4 is the only one"),
        (alone(4), True, "none but a first revision is scaled to zero"),
    ],
)
def test_only_a_first_revision_is_scaled_to_zero(about: Rollout, scales: bool, why_not: str) -> None:
    """A history that was thrown away makes no canary: what confirming would escalate is refused at once."""
    said = refused(about, ORDER, scale_to_zero=scales)
    assert why_not in said
    assert bool(said) == bool(why_not)


def test_a_case_that_is_turned_over_is_scaled_to_zero_like_a_fresh_one() -> None:
    """Whether there is an earlier revision is settled by the rollout, not by what the hold's case was opened with."""
    held = case_of("Hold")
    assert not held.scale_to_zero
    for about, scaled in ((alone(1), True), (rollout(), False)):
        for case in (reordered(held, ORDER, about), ordered(about, ("prod", "us-east-1"), ORDER)):
            assert (case.action, case.scale_to_zero) == ("RollBack", scaled)
    assert not reordered(replace(held, scale_to_zero=True), ORDER, rollout()).scale_to_zero


def test_a_reason_is_one_line_of_limited_length() -> None:
    """It goes into an annotation and into every message; who ordered it is never cut off."""
    order = order_of(3, "wrong\nprices " + "x" * 300_000, "maria@laptop", NOW)
    said, _, who = order.reason.partition(" (ordered by ")
    assert (len(said), said[:13], who) == (LONGEST_REASON, "wrong prices ", "maria@laptop)")
    assert (order.target, order.at) == (3, NOW)
    assert order_of(0, "wrong prices", "maria@laptop", NOW).reason == "wrong prices (ordered by maria@laptop)"
