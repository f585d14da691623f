"""Queries: one text for all rollouts, exact patterns, and how far back they reach."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.judgement.made import NEW, OLD, POLICY, RATIO_CHECK, ROLLOUT, START, VALUE_CHECK, ratio_check
from watcher.judgement.model import Revision, Rollout
from watcher.judgement.queries import fill, pods_of, points_for, questions, texts_of
from watcher.policy.model import MOST_POINTS, Check, Policy, SmokeJob, Value

BOTH = frozenset({"bad", "total", "p99"})
OTHER = Rollout("web", "front.end", "uid-2", Revision(5, "front.end-7d9f84", "rs-9"), (), START)


def matches(pattern: str, pod: str) -> bool:
    """Match as Prometheus does: the whole label. The patterns use nothing that RE2 and Python read differently."""
    return re.fullmatch(pattern, pod) is not None


@pytest.mark.parametrize(
    ("pod", "found"),
    [
        ("checkout-7d9f84-x2x", True),
        ("checkout-7d9f84-x2x4z", True),
        ("checkout-5c6b7a-x2x4z", True),
        ("checkout-7d9f84-a-b", False),
        ("checkout-7d9f84-", False),
        ("checkout-7d9f84", False),
        ("checkout2-7d9f84-x2x4z", False),
        ("my-checkout-7d9f84-x2x4z", False),
        ("checkout-aaaaaa-x2x4z", False),
    ],
)
def test_pod_means_exactly_both_revisions_pods(pod: str, found: bool) -> None:
    """`$pod` matches a ReplicaSet's name, a dash and one segment: no neighbour's pod, and no other revision's."""
    assert matches(fill("$pod", [ROLLOUT]), pod) is found


def test_dots_in_names_mean_dots() -> None:
    """A Deployment's name may hold dots, which match nothing else."""
    assert fill('{deployment=~"$deployment"}', [OTHER]) == '{deployment=~"front[.]end"}'
    assert matches(pods_of("front.end-7d9f84"), "front.end-7d9f84-x2x4z")
    assert not matches(pods_of("front.end-7d9f84"), "frontxend-7d9f84-x2x4z")


@pytest.mark.parametrize("length", [57, 58, 60, 70])
def test_pods_of_long_names_are_found(length: int) -> None:
    """Kubernetes cuts a generated name to 58 characters before its five random ones: the dash may be lost."""
    name = "c" * (length - 7) + "-7d9f84"
    pod = f"{name}-"[:58] + "x2x4z"
    assert matches(pods_of(name), pod)
    assert not matches(pods_of(name), pod + "-a")


def test_one_text_asks_for_all_rollouts() -> None:
    """Each name stands once, in order, in brackets, so that a policy can write more around the variable."""
    text = 'x{namespace=~"$namespace", pod=~"$deployment-.*", d=~"$deployment"}'
    wanted = 'x{namespace=~"(shop|web)", pod=~"(checkout|front[.]end)-.*", d=~"(checkout|front[.]end)"}'
    assert fill(text, [OTHER, ROLLOUT, ROLLOUT]) == wanted


def test_other_variables_are_left_alone() -> None:
    """Only the three variables are filled in; one whose name merely begins alike is not."""
    assert fill("$pod_ip $pods $namespaces $__interval", [ROLLOUT]) == "$pod_ip $pods $namespaces $__interval"


def test_the_pods_of_unfinished_rollouts_are_asked_for_too() -> None:
    """An older revision that still has pods serves beside the new one; one that has none isn't asked for."""
    older = (OLD, Revision(0, "checkout-still", "rs-0", replicas=1), Revision(0, "checkout-gone", "rs-00"))
    pattern = fill("$pod", [replace(ROLLOUT, earlier=older)])
    assert matches(pattern, "checkout-still-x2x4z")
    assert not matches(pattern, "checkout-gone-x2x4z")


def test_a_check_has_as_many_texts_as_it_has_queries() -> None:
    """Two for a ratio, one for a value, none for a smoke test."""
    assert texts_of(RATIO_CHECK) == ("bad", "total")
    assert texts_of(VALUE_CHECK) == ("p99",)
    assert texts_of(Check("smoke", SmokeJob())) == ()


def test_nothing_under_watch_asks_nothing() -> None:
    """An idle cluster costs Prometheus no query; neither does a rollout that has smoke tests alone."""
    assert questions([], {}, START, 15.0) == ()
    smoke = Policy("smoke", "smoke.yaml", ("*",), 600.0, (Check("smoke", SmokeJob()),))
    assert questions([(ROLLOUT, (smoke,)), (OTHER, ())], {}, START, 15.0) == ()


def test_rollouts_share_their_queries() -> None:
    """Three texts make three queries, for however many rollouts, and ask only for those whose policy has the text."""
    checks = (
        ratio_check(bad="$namespace", total="count $namespace"),
        replace(VALUE_CHECK, kind=Value("$deployment")),
    )
    both, one = Policy("both", "b.yaml", ("*",), 600.0, checks), Policy("one", "o.yaml", ("*",), 600.0, checks[:1])
    asking = questions([(ROLLOUT, (both, one)), (OTHER, (one,))], {}, START + 30, 15.0)
    assert {q.text: q.query for q in asking} == {
        "$namespace": "(shop|web)",
        "count $namespace": "count (shop|web)",
        "$deployment": "checkout",
    }


@pytest.mark.parametrize(("seconds", "points"), [(0.0, 1), (15.0, 2), (60.0, 5), (61.0, 6), (59.0, 5), (0.1 * 3, 2)])
def test_points_cover_their_time(seconds: float, points: int) -> None:
    """Both ends are included, and a time that is no multiple of the step is covered by the next one."""
    assert points_for(seconds, 15.0) == points
    assert points_for(0.3, 0.1) == 4


def test_a_known_past_is_not_asked_for_again() -> None:
    """With the time before the rollout known, the range is the check's `for` alone."""
    asking = questions([(ROLLOUT, (POLICY,))], {ROLLOUT.key: BOTH}, START + 900.7, 15.0)
    assert {q.grid.count for q in asking} == {5}
    assert {q.grid.end for q in asking} == {START + 900.7}


def test_an_unknown_past_is_reached() -> None:
    """Until it is known, the range covers the `for` before the start, whenever the daemon was started."""
    for late in (0.0, 15.0, 907.3, 1799.0):
        for question in questions([(ROLLOUT, (POLICY,))], {}, START + late, 15.0):
            assert START - 75 - 15 < question.grid.start <= START - 60
            assert question.grid.end <= START + late


def test_both_texts_of_a_ratio_reach_equally_far() -> None:
    """A ratio whose total is known through another check still gets both of its texts for the time before."""
    asking = questions([(ROLLOUT, (POLICY,))], {ROLLOUT.key: frozenset({"total"})}, START + 900, 15.0)
    counts = {q.text: q.grid.count for q in asking}
    assert counts["bad"] == counts["total"] == points_for(900 + 60 + 15, 15.0)


def test_one_rollout_with_an_unknown_past_reaches_back_for_all() -> None:
    """One text is one query: its range is the longest that any of its rollouts needs."""
    young = replace(OTHER, started=START + 880)
    asking = questions([(ROLLOUT, (POLICY,)), (young, (POLICY,))], {ROLLOUT.key: BOTH}, START + 900, 15.0)
    assert {q.grid.count for q in asking} == {points_for(20 + 60 + 15, 15.0)}


def test_a_past_beyond_prometheus_limit_is_not_asked_for() -> None:
    """Prometheus refuses more than 11,000 points: a past that doesn't fit is left out, not half asked every pass."""
    longest = MOST_POINTS - 1 - 60 - 1  # seconds since the start, with a `for` of a minute at 1 s
    for late, count in ((longest, MOST_POINTS), (longest + 1, 61), (50_000, 61)):
        asking = questions([(ROLLOUT, (POLICY,))], {}, START + late, 1.0)
        assert {(q.grid.count, q.grid.end) for q in asking} == {(count, START + late)}


def test_a_past_that_does_not_fit_keeps_no_other_from_being_asked() -> None:
    """Of two rollouts that share a text, the young one's past is asked for though the old one's can't be."""
    young = replace(OTHER, started=START + 49_980)
    asking = questions([(ROLLOUT, (POLICY,)), (young, (POLICY,))], {}, START + 50_000, 1.0)
    assert {q.grid.count for q in asking} == {points_for(20 + 60 + 1, 1.0)}


@pytest.mark.parametrize(("now", "end"), [(START, START), (START + 0.0019, START + 0.001), (START + 0.5, START + 0.5)])
def test_a_range_ends_now_to_the_millisecond_not_in_the_future(now: float, end: float) -> None:
    """The end is the last whole millisecond, Prometheus's own precision: it has nothing of the time to come."""
    assert {q.grid.end for q in questions([(ROLLOUT, (POLICY,))], {}, now, 15.0)} == {end}


def test_the_names_of_new_and_old_stand_in_the_query() -> None:
    """The example of the design, as text that can be pasted into Grafana."""
    assert fill("$pod", [ROLLOUT]) == f"({OLD.replica_set}-[^-]+|{NEW.replica_set}-[^-]+)"
