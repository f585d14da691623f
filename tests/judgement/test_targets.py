"""Which revision is rolled back to: runbook, step 2."""

from __future__ import annotations

from dataclasses import replace

from tests.judgement.made import OLD, ROLLOUT
from watcher.judgement.model import Revision
from watcher.judgement.rollouts import DOUBTED, REVISION, SCHEMA_SEEN, revision_of, target_of, trim_replica_set


def target(*earlier: Revision) -> int:
    """The number of the revision that is chosen out of these, the newest first."""
    found = target_of(replace(ROLLOUT, earlier=earlier))
    assert found is not None
    return found.number


def test_a_doubted_revision_is_the_last_choice() -> None:
    """What was replaced while it was not healthy is rolled back to only where there is nothing better."""
    doubted, plain = replace(OLD, number=5, doubted=True), replace(OLD, number=4)
    assert target(doubted, plain) == 4
    assert target(doubted) == 5
    assert target(doubted, replace(plain, verdict="condemned")) == 5


def test_proven_goes_before_all() -> None:
    """A proven revision is taken, however old, and whatever was thought of it when it was replaced once."""
    assert target(replace(OLD, number=5), replace(OLD, number=4, verdict="proven", doubted=True)) == 4


def test_doubt_counts_only_with_its_own_uid() -> None:
    """The mark names ReplicaSet and revision: annotations are copied from one to the next, ReplicaSets used again."""
    meta = {"name": "checkout-a", "uid": "rs-a", "creationTimestamp": "2027-01-15T08:00:00Z"}
    for uid, doubted in (("rs-a@3", True), ("rs-b@3", False), ("rs-a@2", False), ("rs-a", False)):
        raw = {"metadata": {**meta, "annotations": {REVISION: "3", DOUBTED: uid}}}
        revision = revision_of(trim_replica_set(raw))
        assert revision is not None
        assert revision.doubted is doubted


def test_a_fixed_target_is_the_only_one() -> None:
    """The number demanded will do, or one that the revision had before it was used again; a condemned one never."""
    again, plain = replace(OLD, number=5, former=(1, 3), verdict="proven"), replace(OLD, number=4)
    for fixed, found in ((4, plain), (5, again), (3, again), (1, again), (2, None)):
        assert target_of(replace(ROLLOUT, earlier=(again, plain)), fixed) == found
    assert target_of(replace(ROLLOUT, earlier=(replace(plain, verdict="condemned"),)), 4) is None
    both = (replace(OLD, number=6, former=(4,)), plain)
    assert target_of(replace(ROLLOUT, earlier=both), 4) == plain, "a number of now goes before one of then"


def test_the_schema_seen_counts_only_for_its_own_revision() -> None:
    """The mark names ReplicaSet, revision and question; copied to another one, or used again, it tells nothing."""
    meta = {"name": "checkout-a", "uid": "rs-a", "creationTimestamp": "2027-01-15T08:00:00Z"}
    marks = {
        "rs-a@3@q@0002_x": ("0002_x", "q"),
        "rs-a@3@q@a@b": ("a@b", "q"),
        "rs-a@2@q@0002_x": ("", ""),
        "rs-b@3@q@0002_x": ("", ""),
        "rs-a@0002_x": ("", ""),
        "": ("", ""),
    }
    for mark, (schema, by) in marks.items():
        raw = {"metadata": {**meta, "annotations": {REVISION: "3", SCHEMA_SEEN: mark}}}
        revision = revision_of(trim_replica_set(raw))
        assert revision is not None
        assert (revision.schema, revision.schema_by) == (schema, by)
