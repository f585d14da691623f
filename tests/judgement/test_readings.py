"""Readings: answers for many rollouts taken apart, by revision where pods are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.judgement.made import INF, NAN, NEW, OLD, RATIO, ROLLOUT, START, STEP, series
from watcher.judgement.model import Answer, Grid, Revision, Rollout, Series
from watcher.judgement.readings import (
    NoReading,
    Places,
    RatioReading,
    Subjects,
    ValueReading,
    add_series,
    read_ratios,
    read_values,
)
from watcher.policy.model import Labels, Ratio, Value

GRID = Grid(START + 30, STEP, 3)
T0, T1, T2 = GRID.times()
TWIN = Rollout("web", "checkout", "uid-2", NEW, (OLD,), START)


def pod(name: str, *samples: tuple[float, float], namespace: str = "shop") -> Series:
    """One pod's series."""
    return series({"namespace": namespace, "pod": name}, *samples)


def answer(*found: Series, grid: Grid = GRID) -> Answer:
    """A complete answer."""
    return Answer("query", grid, found)


def read(
    total: Sequence[Series], bad: Sequence[Series] = (), kind: Ratio = RATIO, rollouts: Sequence[Rollout] = (ROLLOUT,)
) -> RatioReading:
    """The first rollout's ratio reading."""
    reading = read_ratios(kind, Subjects(rollouts), answer(*bad), answer(*total))[rollouts[0].key]
    assert isinstance(reading, RatioReading)
    return reading


def same(numbers: Sequence[float], wanted: Sequence[float]) -> bool:
    """Equal, where NaN is NaN."""
    return [str(float(n)) for n in numbers] == [str(float(w)) for w in wanted]


def test_pods_are_summed_by_revision() -> None:
    """Each pod counts for its ReplicaSet, several series of a pod are one sum, and other pods count for nobody."""
    reading = read(
        total=[
            pod("checkout-7d9f84-aaaaa", (T0, 10), (T1, 20)),
            pod("checkout-7d9f84-bbbbb", (T1, 1), (T2, 2)),
            series({"namespace": "shop", "pod": "checkout-7d9f84-bbbbb", "path": "/"}, (T2, 5)),
            pod("checkout-5c6b7a-ccccc", (T0, 100), (T1, 100), (T2, 100)),
            pod("checkout-7d9f84-a-b", (T0, 7000)),
            pod("checkout2-7d9f84-aaaaa", (T0, 7000)),
            pod("checkout-eeeeee-aaaaa", (T0, 7000)),
            pod("checkout", (T0, 7000)),
            series({"namespace": "shop"}, (T0, 7000)),
        ],
        bad=[pod("checkout-7d9f84-aaaaa", (T1, 4)), pod("checkout-5c6b7a-ccccc", (T2, 1))],
    )
    assert same(reading.new.total, [10, 21, 7])
    assert same(reading.new.bad, [0, 4, 0])
    assert same(reading.old.total, [100, 100, 100])
    assert same(reading.old.bad, [0, 0, 1])


def test_no_bad_series_is_zero_bad_only_where_total_has_one() -> None:
    """A counter that never failed has no series: that is zero bad. Without total it is no data at all."""
    reading = read(total=[pod("checkout-7d9f84-aaaaa", (T0, 10), (T2, 10))])
    assert same(reading.new.total, [10, NAN, 10])
    assert reading.new.bad[0] == reading.new.bad[2] == 0


@pytest.mark.parametrize("sample", [NAN, INF, -INF])
def test_a_sample_that_is_no_number_is_not_summed_away(sample: float) -> None:
    """NaN is never healthy: another pod's good number beside it, before or after, doesn't hide it, nor does zero."""
    good, flawed = pod("checkout-7d9f84-aaaaa", (T0, 10)), pod("checkout-7d9f84-bbbbb", (T0, sample))
    for order in ([good, flawed, good], [flawed, good], [flawed, flawed]):
        assert math.isinf(read(total=order).new.total[0])
        assert math.isinf(read(total=[good], bad=order).new.bad[0])


def test_pods_of_the_same_name_in_two_namespaces_are_kept_apart() -> None:
    """Two clusters' worth of `checkout` in two namespaces are two rollouts."""
    name = "checkout-7d9f84-aaaaa"
    total = [pod(name, (T0, 1)), pod(name, (T0, 2), namespace="web"), pod(name, (T0, 4), namespace="dev")]
    both = read_ratios(RATIO, Subjects([ROLLOUT, TWIN]), answer(), answer(*total))
    first, second = both[ROLLOUT.key], both[TWIN.key]
    assert isinstance(first, RatioReading)
    assert isinstance(second, RatioReading)
    assert (first.new.total[0], second.new.total[0]) == (1, 2)


def test_labels_may_be_named_otherwise() -> None:
    """Istio's and others' metrics name namespace, Deployment and pod by labels of their own."""
    names = Labels("destination_workload_namespace", "destination_workload", "kubernetes_pod_name")
    by_pod = {"destination_workload_namespace": "shop", "kubernetes_pod_name": "checkout-7d9f84-aaaaa"}
    assert read([series(by_pod, (T0, 5))], kind=replace(RATIO, labels=names)).new.total[0] == 5
    workload = {"destination_workload_namespace": "shop", "destination_workload": "checkout"}
    assert read([series(workload, (T0, 6))], kind=replace(RATIO, labels=names, per_pod=False)).new.total[0] == 6
    found = read_values(Value("q", names), Subjects([ROLLOUT]), answer(series(workload, (T0, 7))))[ROLLOUT.key]
    assert isinstance(found, ValueReading)
    assert same(found.values, [7, NAN, NAN])


def test_without_pods_old_and_new_are_the_deployments() -> None:
    """Metrics that name no pod are the Deployment's, before the rollout and after."""
    labels = {"namespace": "shop", "deployment": "checkout"}
    reading = read([series(labels, (T0, 5))], kind=replace(RATIO, per_pod=False))
    assert reading.old is reading.new
    assert not reading.per_pod


@pytest.mark.parametrize("name", ["c" * 51 + "-7d9f84", "c" * 51 + "-7d9f84c9b5", "c" * 56 + "-7d9f84c9b5"])
def test_pods_of_long_names_are_told_apart(name: str) -> None:
    """Where Kubernetes cuts a pod's generated name, what is left of the hash still tells the revisions apart."""
    old = name.replace("7d9f84", "5c6b7a")
    long = replace(ROLLOUT, new=replace(NEW, replica_set=name), earlier=(replace(OLD, replica_set=old),))
    pods = [pod(f"{one}-"[:58] + "x2x4z", (T0, count)) for one, count in ((name, 1), (old, 2))]
    strangers = [pod(f"{name}-"[:58] + "x-x4z", (T0, 70)), pod(f"{name}-"[:58] + "x2x4z9", (T0, 70))]
    reading = read(pods + strangers, rollouts=[long])
    assert (reading.new.total[0], reading.old.total[0]) == (1, 2)


def test_pods_that_cannot_be_told_apart_give_no_reading() -> None:
    """A name so long that the hash is cut off names both revisions alike: that is said, and never guessed."""
    long = replace(
        ROLLOUT,
        new=replace(NEW, replica_set="c" * 60 + "-7d9f84"),
        earlier=(replace(OLD, replica_set="c" * 60 + "-5c6b7a"),),
    )
    found = read_ratios(RATIO, Subjects([long, TWIN]), answer(), answer(pod("c" * 58 + "x2x4z", (T0, 1))))
    reading = found[long.key]
    assert isinstance(reading, NoReading)
    assert reading.reason == "ambiguous-series"
    assert "c" * 58 in reading.said
    assert isinstance(found[TWIN.key], RatioReading)


def test_two_rollouts_whose_pods_names_begin_alike_give_no_reading() -> None:
    """One Deployment's pods are never counted as its neighbour's."""
    first, second = (
        Rollout("shop", name, name, Revision(1, f"{name}-7d9f84", name), (), START)
        for name in ("c" * 58 + "-one", "c" * 58 + "-two")
    )
    found = read_ratios(RATIO, Subjects([first, second]), answer(), answer())
    assert {getattr(one, "reason", "") for one in found.values()} == {"ambiguous-series"}


@pytest.mark.parametrize(
    ("flawed", "reason"),
    [
        (Answer("q", GRID, error="Prometheus: no connection"), "prometheus-error"),
        (Answer("q", GRID, (), warnings=("store gateway is down",)), "partial-answer"),
    ],
)
def test_an_answer_with_a_flaw_is_no_reading(flawed: Answer, reason: str) -> None:
    """Errors and warnings leave every rollout without a reading, whichever of a ratio's answers has them."""
    whole = answer(pod("checkout-7d9f84-aaaaa", (T0, 10)))
    subjects = Subjects([ROLLOUT, TWIN])
    for found in (
        read_ratios(RATIO, subjects, flawed, whole),
        read_ratios(RATIO, subjects, whole, flawed),
        read_values(Value("q"), subjects, flawed),
    ):
        assert set(found) == {ROLLOUT.key, TWIN.key}
        for reading in found.values():
            assert isinstance(reading, NoReading)
            assert reading.reason == reason
            assert (flawed.error or flawed.warnings[0]) in reading.said


def test_several_series_for_one_value_are_named() -> None:
    """Which of two numbers is the service's can't be guessed; both are shown, and the way out."""
    labels = {"namespace": "shop", "deployment": "checkout"}
    several = [series({**labels, "instance": i}, (T0, 1)) for i in ("a", "b", "c")]
    other = series({"namespace": "web", "deployment": "checkout"}, (T0, 3))
    found = read_values(Value("q"), Subjects([ROLLOUT, TWIN]), answer(*several, other))
    reading = found[ROLLOUT.key]
    assert isinstance(reading, NoReading)
    assert reading.reason == "ambiguous-series"
    assert reading.said.startswith("3 series for shop/checkout where one is meant: ")
    assert '{deployment="checkout", instance="a", namespace="shop"} and {deployment=' in reading.said
    assert isinstance(found[TWIN.key], ValueReading)


def test_values_keep_nothing_and_nonsense_apart() -> None:
    """An instant without a sample is NaN in a reading; a sample that is no number is infinity."""
    labels = {"namespace": "shop", "deployment": "checkout"}
    found = read_values(Value("q"), Subjects([ROLLOUT]), answer(series(labels, (T1, NAN), (T2, 0.25))))[ROLLOUT.key]
    assert isinstance(found, ValueReading)
    assert same(found.values, [NAN, INF, 0.25])


@pytest.mark.parametrize("moment", [T0 - STEP, T2 + STEP, T0 + 7, T1 - 0.2, NAN, INF, -INF, 0.0, 1e300])
def test_samples_beside_the_grid_are_left_out(moment: float) -> None:
    """A sample counts for the instant that was asked for, and for no other."""
    into = [NAN] * 3
    add_series(into, series({}, (moment, 1.0), (moment, 1.0)), Places(GRID))
    assert same(into, [NAN] * 3)


def test_rounding_does_not_lose_samples() -> None:
    """Prometheus answers in milliseconds: what is off by a rounding error still belongs to its instant."""
    into = [NAN] * 3
    add_series(into, series({}, (T0 + 0.001, 1.0), (T1 - 0.001, 2.0), (T2 + 0.0005, 3.0)), Places(GRID))
    assert same(into, [1, 2, 3])


def test_a_ratio_is_read_where_both_answers_reach() -> None:
    """Where only total was asked for, no bad sample doesn't mean zero bad: that time is left out."""
    longer = Grid(GRID.end, STEP, 40)
    total = answer(pod("checkout-7d9f84-aaaaa", (T0, 10), (T0 - STEP, 10)), grid=longer)
    reading = read_ratios(RATIO, Subjects([ROLLOUT]), answer(), total)[ROLLOUT.key]
    assert isinstance(reading, RatioReading)
    assert reading.grid == GRID
    assert same(reading.new.total, [10, NAN, NAN])
