"""Deployments: revisions, ReplicaSets that are used again, going back, pausing, and pods that don't get ready."""

from __future__ import annotations

import time

import pytest

from tests.controlplane.bed import HASH, REVISION, Bed, condition, owners, reason
from tests.controlplane.http import JSON_PATCH, Json, until
from tests.controlplane.manifests import deployment

HISTORY = "deployment.kubernetes.io/revision-history"


def image(item: Json) -> str:
    """The image in an object's pod template."""
    return str(item["spec"]["template"]["spec"]["containers"][0]["image"])


def notes(item: Json) -> dict[str, str]:
    """An object's annotations."""
    return item["metadata"].get("annotations") or {}


def annotate(bed: Bed, path: str, values: dict[str, str | None]) -> Json:
    """Set annotations; None removes."""
    return bed.http.change(path, {"metadata": {"annotations": values}})


def revert(bed: Bed, name: str, to: Json) -> Json:
    """Go back to a ReplicaSet's template, as `kubectl rollout undo` does."""
    template = {**to["spec"]["template"], "metadata": {**to["spec"]["template"]["metadata"]}}
    labels = template["metadata"]["labels"]
    template["metadata"]["labels"] = {key: value for key, value in labels.items() if key != HASH}
    change = [{"op": "replace", "path": "/spec/template", "value": template}]
    return bed.http.change(bed.path("deployments", name), change, JSON_PATCH)


@pytest.fixture
def shop(bed: Bed) -> str:
    """A Deployment `shop` of two pods with image shop:1, settled."""
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1"))
    bed.settled("shop")
    return "shop"


def test_a_deployment_becomes_available(bed: Bed, shop: str) -> None:
    """A new Deployment gets revision 1, one ReplicaSet named after it, pods, and a status that says so."""
    item = bed.deployment(shop)
    (replica_set,) = bed.replica_sets(shop).values()
    assert notes(item)[REVISION] == notes(replica_set)[REVISION] == "1"
    template_hash = replica_set["metadata"]["labels"][HASH]
    assert replica_set["metadata"]["name"] == f"shop-{template_hash}"
    assert replica_set["spec"]["selector"]["matchLabels"][HASH] == template_hash
    assert replica_set["spec"]["template"]["metadata"]["labels"][HASH] == template_hash
    (owner,) = owners(replica_set)
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Deployment", item["metadata"]["uid"], True)
    counts = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    assert [item["status"][count] for count in counts] == [1, 2, 2, 2, 2]
    assert reason(item, "Available") == "MinimumReplicasAvailable"
    assert condition(item, "Progressing")["status"] == "True"
    assert {"lastUpdateTime", "lastTransitionTime", "message"} <= condition(item, "Progressing").keys()


def test_a_pod_is_named_after_its_replica_set(bed: Bed, shop: str) -> None:
    """A pod's name is its ReplicaSet's name, a dash, and one segment without a dash; the ReplicaSet controls it."""
    (replica_set,) = bed.replica_sets(shop).values()
    pods = bed.items("pods", labelSelector=f"{HASH}={replica_set['metadata']['labels'][HASH]}")
    assert len(pods) == 2
    for pod in pods:
        base, _, segment = pod["metadata"]["name"].rpartition("-")
        assert base == replica_set["metadata"]["name"]
        assert segment.isalnum()
        (owner,) = owners(pod)
        assert (owner["kind"], owner["name"], owner["controller"]) == ("ReplicaSet", base, True)


def test_good_bad_bad_good(bed: Bed, shop: str) -> None:
    """Each new template is a new revision; a bad one keeps the old pods serving; going on replaces it; gaps stay."""
    for release in ("shop:2-bad", "shop:3-bad"):
        bed.switches.set_ready(release, False)
        bed.set_image(shop, release)
        until(lambda release=release: image(bed.current(shop)) == release)  # type: ignore[misc]
        until(lambda: bed.current(shop)["status"].get("replicas"))
        assert bed.deployment(shop)["status"]["availableReplicas"] >= 2
    bed.set_image(shop, "shop:4")
    bed.settled(shop)
    revisions = bed.replica_sets(shop)
    assert {revision: image(one) for revision, one in revisions.items()} == {
        1: "shop:1",
        2: "shop:2-bad",
        3: "shop:3-bad",
        4: "shop:4",
    }
    assert [one["spec"]["replicas"] for _, one in sorted(revisions.items())] == [0, 0, 0, 2]
    assert notes(bed.deployment(shop))[REVISION] == "4"


def test_going_back_reuses_the_replica_set(bed: Bed, shop: str) -> None:
    """Reverting to an old template gives its ReplicaSet, still as old as it was, the next revision and a history."""
    (first,) = bed.replica_sets(shop).values()
    bed.switches.set_ready("shop:2-bad", False)
    bed.set_image(shop, "shop:2-bad")
    until(lambda: 2 in bed.replica_sets(shop))
    revert(bed, shop, first)
    bed.settled(shop)
    revisions = bed.replica_sets(shop)
    assert sorted(revisions) == [2, 3]
    assert revisions[3]["metadata"]["uid"] == first["metadata"]["uid"]
    assert revisions[3]["metadata"]["creationTimestamp"] == first["metadata"]["creationTimestamp"]
    assert notes(revisions[3])[HISTORY] == "1"
    assert notes(bed.deployment(shop))[REVISION] == "3"
    revert(bed, shop, revisions[2])
    bed.switches.set_ready("shop:2-bad", True)
    bed.settled(shop)
    revert(bed, shop, first)
    bed.settled(shop)
    assert notes(bed.replica_sets(shop)[5])[HISTORY] == "1,3"


def test_the_same_template_is_the_same_revision(bed: Bed, shop: str) -> None:
    """Writing the template that is already there starts nothing."""
    before = bed.deployment(shop)
    (replica_set,) = bed.replica_sets(shop).values()
    assert revert(bed, shop, replica_set)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert bed.replica_sets(shop).keys() == {1}


def test_a_guarded_revert_works_once(bed: Bed, shop: str) -> None:
    """Of two reverts with a `test` on the template that was judged, the second answers 422: somebody was quicker."""
    (first,) = bed.replica_sets(shop).values()
    bad = bed.set_image(shop, "shop:2")["spec"]["template"]
    change = [
        {"op": "test", "path": "/spec/template", "value": bad},
        {"op": "replace", "path": "/spec/template/spec", "value": first["spec"]["template"]["spec"]},
    ]
    path = bed.path("deployments", shop)
    assert bed.http.request("PATCH", path, change, JSON_PATCH).status_code == 200
    assert bed.http.request("PATCH", path, change, JSON_PATCH).status_code == 422


def test_annotations_reach_the_current_replica_set(bed: Bed, shop: str) -> None:
    """The Deployment's annotations are copied to its current ReplicaSet, kubectl's excepted, and stay there."""
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    annotate(bed, bed.path("deployments", shop), {"canary-watch.io/rolled-back": "case", applied: "{}"})
    copied = until(lambda: notes(bed.current(shop)).get("canary-watch.io/rolled-back"))
    assert copied == "case"
    assert applied not in notes(bed.current(shop))
    bed.set_image(shop, "shop:2")
    bed.settled(shop)
    assert notes(bed.replica_sets(shop)[2])["canary-watch.io/rolled-back"] == "case"
    annotate(bed, bed.path("deployments", shop), {"canary-watch.io/rolled-back": None})
    bed.http.change(bed.path("deployments", shop), {"spec": {"replicas": 3}})
    bed.settled(shop)
    assert notes(bed.current(shop))["canary-watch.io/rolled-back"] == "case"


def test_an_annotation_of_a_replica_set_stays(bed: Bed, shop: str) -> None:
    """What is noted on a ReplicaSet survives scaling, the next revision and being used again; it isn't copied back."""
    (first,) = bed.replica_sets(shop).values()
    path = bed.path("replicasets", first["metadata"]["name"])
    annotate(bed, path, {"canary-watch.io/verdict": "proven"})
    bed.http.change(bed.path("deployments", shop), {"spec": {"replicas": 3}})
    bed.settled(shop)
    bed.set_image(shop, "shop:2")
    bed.settled(shop)
    assert "canary-watch.io/verdict" not in notes(bed.current(shop))
    revert(bed, shop, first)
    bed.settled(shop)
    assert notes(bed.http.get(path))["canary-watch.io/verdict"] == "proven"
    assert "canary-watch.io/verdict" not in notes(bed.deployment(shop))


def test_the_scale_subresource_sets_replicas(bed: Bed, shop: str) -> None:
    """What `kubectl scale` does: a patch of the Scale changes spec.replicas, and reading it back shows both counts."""
    path = bed.path("deployments", f"{shop}/scale")
    assert bed.http.change(path, {"spec": {"replicas": 3}})["spec"]["replicas"] == 3
    bed.settled(shop)
    scale = bed.http.get(path)
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["replicas"]) == ("Scale", 3, 3)
    assert scale["status"]["selector"] == "app=shop"


def test_a_paused_deployment_rolls_nothing_out(bed: Bed, shop: str) -> None:
    """With spec.paused a new template makes no ReplicaSet, scaling still works, and resuming rolls out."""
    path = bed.path("deployments", shop)
    bed.http.change(path, {"spec": {"paused": True}})
    until(lambda: reason(bed.deployment(shop), "Progressing") == "DeploymentPaused")
    bed.set_image(shop, "shop:2")
    bed.http.change(path, {"spec": {"replicas": 3}})
    until(lambda: bed.deployment(shop)["status"].get("availableReplicas") == 3)
    assert {image(one) for one in bed.replica_sets(shop).values()} == {"shop:1"}
    bed.http.change(path, {"spec": {"paused": None}})
    assert image(bed.settled(shop)) == "shop:2"
    assert bed.replica_sets(shop).keys() == {1, 2}


def test_a_stuck_rollout_exceeds_its_deadline(bed: Bed) -> None:
    """A rollout whose pods don't get ready is ProgressDeadlineExceeded after progressDeadlineSeconds, until they do."""
    body = deployment("shop", "shop:1", progressDeadlineSeconds=2)
    bed.http.create(bed.path("deployments"), body)
    bed.settled("shop")
    bed.switches.set_ready("shop:2", False)
    bed.set_image("shop", "shop:2")
    started = until(
        lambda: reason(bed.deployment("shop"), "Progressing") in {"ReplicaSetUpdated", "NewReplicaSetCreated"}
    )
    assert started
    late = until(lambda: condition(bed.deployment("shop"), "Progressing")["status"] == "False")
    assert late
    assert reason(bed.deployment("shop"), "Progressing") == "ProgressDeadlineExceeded"
    bed.switches.set_ready("shop:2", True)
    bed.settled("shop")


def test_rolling_updates_keep_to_their_limits(bed: Bed) -> None:
    """No more pods are asked for than maxSurge allows, nor fewer than maxUnavailable, throughout a rollout."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1", replicas=4, strategy=strategy))
    bed.settled("shop")
    bed.switches.set_ready("shop:2", False)
    bed.set_image("shop", "shop:2")
    until(lambda: bed.deployment("shop")["status"].get("updatedReplicas") == 1)
    time.sleep(0.2)  # whatever else it would do, it would have begun to
    sizes = {revision: one["spec"]["replicas"] for revision, one in bed.replica_sets("shop").items()}
    assert sizes == {1: 4, 2: 1}
    start = bed.http.get(bed.path("replicasets"))["metadata"]["resourceVersion"]
    bed.switches.set_ready("shop:2", True)
    bed.settled("shop")
    old, new = bed.replica_sets("shop")[1]["metadata"]["name"], bed.replica_sets("shop")[2]["metadata"]["name"]
    watch = bed.path("replicasets", watch="1", resourceVersion=start, timeoutSeconds="10")
    latest = {old: 4, new: 1}

    def follow(events: list[Json]) -> bool:
        latest[events[-1]["object"]["metadata"]["name"]] = events[-1]["object"]["spec"]["replicas"]
        assert sum(latest.values()) in {4, 5}
        return latest == {old: 0, new: 4}

    assert bed.http.watch(watch, follow)


def test_old_revisions_are_forgotten(bed: Bed) -> None:
    """Once a rollout is over, the oldest ReplicaSets beyond revisionHistoryLimit are deleted."""
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1", revisionHistoryLimit=1, replicas=1))
    for release in ("shop:1", "shop:2", "shop:3"):
        bed.set_image("shop", release)
        bed.settled("shop")
    until(lambda: bed.replica_sets("shop").keys() == {2, 3})


def test_recreate_stops_before_it_starts(bed: Bed) -> None:
    """With the strategy Recreate a new release gets no pods before all old ones have gone."""
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1", strategy={"type": "Recreate"}))
    bed.settled("shop")
    start = bed.http.get(bed.path("pods"))["metadata"]["resourceVersion"]
    bed.set_image("shop", "shop:2")
    bed.settled("shop")
    path = bed.path("pods", watch="1", resourceVersion=start, timeoutSeconds="5")
    events = bed.http.watch(path, lambda events: [one["type"] for one in events].count("ADDED") == 2)
    kinds = [(event["type"], event["object"]["spec"]["containers"][0]["image"]) for event in events]
    first_new = kinds.index(("ADDED", "shop:2"))
    assert kinds[:first_new].count(("DELETED", "shop:1")) == 2


def test_deleting_a_deployment_deletes_what_it_owns(bed: Bed, shop: str) -> None:
    """A deleted Deployment's ReplicaSets and pods go after it."""
    bed.http.request("DELETE", bed.path("deployments", shop))
    until(lambda: not bed.items("replicasets") and not bed.items("pods"), timeout=20)
