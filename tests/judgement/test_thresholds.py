"""Thresholds: the policy's, or the Deployment's annotation, read with its unit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.judgement.made import ROLLOUT, VALUE_CHECK
from watcher.judgement.thresholds import LONGEST_THRESHOLD, show, threshold_for
from watcher.policy.model import Check, Threshold

SLO = "canary-watch.io/slo-p99"
WITH_DEFAULT = replace(VALUE_CHECK, threshold=Threshold(0.5, "500ms", "seconds", SLO))
WITHOUT_DEFAULT = replace(VALUE_CHECK, threshold=Threshold(None, "", "seconds", SLO))


def limit(check: Check, **annotations: str) -> tuple[float | None, str]:
    """The threshold of a rollout whose Deployment has this SLO."""
    notes = {SLO: annotations["slo"]} if annotations else {}
    return threshold_for(check, replace(ROLLOUT, annotations=notes))


def test_a_fixed_threshold_is_taken_as_it_is() -> None:
    """Without an annotation named, the Deployment's annotations change nothing."""
    assert limit(VALUE_CHECK, slo="2s") == (0.5, "")


@pytest.mark.parametrize(("slo", "seconds"), [("2s", 2.0), ("250ms", 0.25), (" 1m30s ", 90.0), ("0.5s", 0.5)])
def test_the_annotation_goes_before_the_default(slo: str, seconds: float) -> None:
    """A service's own SLO is what it is judged by."""
    assert limit(WITH_DEFAULT, slo=slo) == (seconds, "")


@pytest.mark.parametrize("notes", [{}, {"slo": ""}])
def test_the_default_is_for_deployments_without_the_annotation(notes: dict[str, str]) -> None:
    """No annotation, or an empty one, as templates leave it, means the policy's default."""
    assert limit(WITH_DEFAULT, **notes) == (0.5, "")


def test_without_annotation_and_default_there_is_no_threshold() -> None:
    """Nothing is guessed: what is missing is named."""
    number, said = limit(WITHOUT_DEFAULT)
    assert number is None
    assert SLO in said
    assert "shop/checkout" in said


@pytest.mark.parametrize(
    "slo",
    [
        "500",
        "5%",
        "0.5",
        "fast",
        "500 ms",
        "-1s",
        "1S",
        "nan",
        "inf",
        "5m and a bit",
        "1e3s",
        "9" * 500 + "s",
        "1" * 41,
        "   ",
    ],
)
def test_an_annotation_that_cannot_be_read_is_said(slo: str) -> None:
    """A wrong unit or no time at all is no threshold, not even the default; the right form is shown."""
    number, said = limit(WITH_DEFAULT, slo=slo)
    assert number is None
    assert said.endswith("right would be 500ms")
    assert repr(slo[:LONGEST_THRESHOLD]) in said


def test_a_long_annotation_takes_no_time() -> None:
    """One Deployment's annotation of 256 KiB can't hold up the pass for all others."""
    assert limit(WITH_DEFAULT, slo="1" * 260_000 + "x")[0] is None  # or pytest's timeout ends it


def test_a_check_without_threshold_has_none() -> None:
    """A smoke test has no threshold, and none is made up."""
    assert threshold_for(replace(VALUE_CHECK, threshold=None), ROLLOUT)[0] is None


@pytest.mark.parametrize(
    ("number", "unit", "shown"),
    [(0.0321, "ratio", "3.21 %"), (1.43, "seconds", "1.43 s"), (0.52, "seconds", "520 ms"), (20, "number", "20")],
)
def test_numbers_are_shown_with_their_unit(number: float, unit: str, shown: str) -> None:
    """People read percentages, seconds and milliseconds."""
    assert show(number, unit) == shown
