"""Objects: creating, reading, replacing, patching, deleting, and every way in which that is refused."""

from __future__ import annotations

import pytest
import requests

from tests.controlplane.bed import Bed
from tests.controlplane.http import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, until
from tests.controlplane.manifests import config_map, deployment, job, lease


def refused(answer: requests.Response, code: int, reason: str) -> str:
    """Assert that the answer is a Status with this code and reason; returns its message."""
    status = answer.json()
    assert (answer.status_code, status["kind"], status["status"]) == (code, "Status", "Failure"), answer.text
    assert (status["code"], status.get("reason")) == (code, reason)
    return str(status["message"])


def test_what_is_created_can_be_read_back(bed: Bed) -> None:
    """A created object gets a uid, a creation time and a resourceVersion, and reads back the same."""
    created = bed.http.create(bed.path("configmaps"), config_map("one", data={"key": "value"}))
    assert {"uid", "creationTimestamp", "resourceVersion"} <= created["metadata"].keys()
    assert bed.http.get(bed.path("configmaps", "one")) == created
    assert created["data"] == {"key": "value"}


def test_create_refuses_a_taken_name(bed: Bed) -> None:
    """Creating an object twice answers 409 AlreadyExists, naming it."""
    bed.http.create(bed.path("configmaps"), config_map("one"))
    answer = bed.http.request("POST", bed.path("configmaps"), config_map("one"))
    assert refused(answer, 409, "AlreadyExists") == 'configmaps "one" already exists'
    assert answer.json()["details"] == {"name": "one", "kind": "configmaps"}


def test_create_refuses_what_is_no_such_object(bed: Bed) -> None:
    """A missing namespace answers 404, another namespace or kind than the path's 400, a bad or missing name 422."""
    bed_path = bed.path("configmaps")
    nowhere = bed_path.replace(bed.namespace, "nowhere")
    assert (
        refused(bed.http.request("POST", nowhere, config_map("a")), 404, "NotFound") == 'namespaces "nowhere" not found'
    )
    elsewhere = {**config_map("a"), "metadata": {"name": "a", "namespace": "default"}}
    refused(bed.http.request("POST", bed_path, elsewhere), 400, "BadRequest")
    refused(bed.http.request("POST", bed_path, {**config_map("a"), "kind": "Pod"}), 400, "BadRequest")
    refused(bed.http.request("POST", bed_path, config_map("Not_A_Name")), 422, "Invalid")
    refused(bed.http.request("POST", bed_path, {"metadata": {}}), 422, "Invalid")


def test_validation_names_the_field(bed: Bed) -> None:
    """Invalid objects answer 422 Invalid with the field: labels, selectors, containers, restart policies, sizes."""
    other = deployment("a", "shop:1", selector={"matchLabels": {"app": "other"}})
    cases = [
        ("configmaps", config_map("a", labels={"key": "x" * 64}), "metadata.labels"),
        ("configmaps", config_map("a", data={"not/a/key": ""}), "data[not/a/key]"),
        ("configmaps", config_map("a", data={"key": "x" * 1_048_577}), "[]"),
        ("deployments", other, "spec.template.metadata.labels"),
        ("deployments", deployment("a", ""), "spec.template.spec.containers[0].image"),
        (
            "jobs",
            job("a", template={"spec": {"containers": [{"name": "a", "image": "a"}]}}),
            "spec.template.spec.restartPolicy",
        ),
    ]
    for plural, body, field in cases:
        answer = bed.http.request("POST", bed.path(plural), body)
        refused(answer, 422, "Invalid")
        assert field in {cause["field"] for cause in answer.json()["details"]["causes"]}, answer.text


def test_values_of_the_wrong_type_are_refused(bed: Bed) -> None:
    """Annotations and data that aren't strings, and lease times without microseconds, answer 400."""
    annotated = {**config_map("a"), "metadata": {"name": "a", "annotations": {"pause": True}}}
    refused(bed.http.request("POST", bed.path("configmaps"), annotated), 400, "BadRequest")
    refused(bed.http.request("POST", bed.path("configmaps"), {**config_map("a"), "data": {"a": 1}}), 400, "BadRequest")
    refused(bed.http.request("POST", bed.path("deployments"), {**deployment("a", "a"), "spec": []}), 400, "BadRequest")
    timed = {**lease("a", "me"), "spec": {"renewTime": "2026-01-01T00:00:00Z"}}
    refused(bed.http.request("POST", bed.path("leases"), timed), 400, "BadRequest")


def test_what_is_not_there_answers_404(bed: Bed) -> None:
    """Reading, patching or deleting a missing object answers 404 NotFound in the words of a real API server."""
    path = bed.path("deployments", "none")
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", [])):
        message = refused(bed.http.request(method, path, body, JSON_PATCH), 404, "NotFound")
        assert message == 'deployments.apps "none" not found'
    refused(bed.http.request("GET", "/apis/apps/v1/nonsense"), 404, "NotFound")


def test_wrong_methods_answer_405(bed: Bed) -> None:
    """POST to an object and PUT to a collection answer 405 MethodNotAllowed."""
    refused(bed.http.request("POST", bed.path("configmaps", "one"), {}), 405, "MethodNotAllowed")
    refused(bed.http.request("PUT", bed.path("configmaps"), {}), 405, "MethodNotAllowed")


def test_a_stale_put_conflicts(bed: Bed) -> None:
    """PUT with the resourceVersion of an earlier read answers 409 Conflict and changes nothing."""
    read = bed.http.create(bed.path("configmaps"), config_map("one", data={"key": "first"}))
    fresh = bed.http.request("PUT", bed.path("configmaps", "one"), {**read, "data": {"key": "second"}})
    assert fresh.json()["metadata"]["resourceVersion"] != read["metadata"]["resourceVersion"]
    stale = bed.http.request("PUT", bed.path("configmaps", "one"), {**read, "data": {"key": "third"}})
    assert "the object has been modified" in refused(stale, 409, "Conflict")
    assert bed.http.get(bed.path("configmaps", "one"))["data"] == {"key": "second"}


def test_lease_updates_are_guarded(bed: Bed) -> None:
    """A Lease's PUT needs a resourceVersion (422 without), and of two with the same one the second conflicts."""
    held = bed.http.create(bed.path("leases"), lease("leader", "one"))
    path, version = bed.path("leases", "leader"), {"resourceVersion": held["metadata"]["resourceVersion"]}
    refused(bed.http.request("PUT", path, lease("leader", "two")), 422, "Invalid")
    guarded = {"metadata": {"name": "leader", **version}}
    assert bed.http.request("PUT", path, {**lease("leader", "two"), **guarded}).status_code == 200
    refused(bed.http.request("PUT", path, {**lease("leader", "three"), **guarded}), 409, "Conflict")
    assert bed.http.get(path)["spec"]["holderIdentity"] == "two"


def test_a_put_of_another_uid_conflicts(bed: Bed) -> None:
    """PUT with the uid of an object that was deleted and created again answers 409 Conflict."""
    read = bed.http.create(bed.path("configmaps"), config_map("one"))
    del read["metadata"]["resourceVersion"]
    read["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    refused(bed.http.request("PUT", bed.path("configmaps", "one"), read), 409, "Conflict")


def test_json_patch_applies_all_or_nothing(bed: Bed) -> None:
    """A JSON patch whose `test` fails answers 422 Invalid and leaves the object; one whose tests hold is applied."""
    created = bed.http.create(bed.path("deployments"), deployment("shop", "shop:1"))
    path, uid = bed.path("deployments", "shop"), created["metadata"]["uid"]
    pause = {"op": "add", "path": "/metadata/annotations", "value": {"canary-watch.io/pause": "true"}}
    wrong = [pause, {"op": "test", "path": "/metadata/uid", "value": "another"}]
    assert refused(bed.http.request("PATCH", path, wrong, JSON_PATCH), 422, "Invalid") == (
        "the server rejected our request due to an error in our request"
    )
    assert "canary-watch.io/pause" not in bed.deployment("shop")["metadata"].get("annotations", {})
    template = bed.deployment("shop")["spec"]["template"]
    guards = [{"op": "test", "path": "/metadata/uid", "value": uid}]
    guards.append({"op": "test", "path": "/spec/template", "value": template})
    changed = bed.http.change(path, [*guards, pause], JSON_PATCH)
    assert changed["metadata"]["annotations"]["canary-watch.io/pause"] == "true"


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ([{"op": "remove", "path": "/metadata/labels/none"}], 422),
        ([{"op": "test", "path": "/metadata/none/deeper", "value": None}], 422),
        ([{"op": "add", "path": "/metadata/annotations/a", "value": "parent is missing"}], 422),
        ([{"op": "invent", "path": "/data"}], 422),
        ({"op": "test"}, 400),
        ([{"op": "test", "path": "/immutable", "value": None}], 200),
        ([{"op": "add", "path": "/metadata/labels/a~1b", "value": "escaped"}], 200),
        ([{"op": "copy", "from": "/data/key", "path": "/data/copy"}], 200),
        ([{"op": "move", "from": "/data/key", "path": "/data/moved"}], 200),
        ([{"op": "replace", "path": "/data/key", "value": "new"}], 200),
    ],
)
def test_json_patch_operations(bed: Bed, patch: object, code: int) -> None:
    """Each JSON patch operation is carried out or refused as a real API server does."""
    bed.http.create(bed.path("configmaps"), config_map("one", labels={"a": "b"}, data={"key": "value"}))
    answer = bed.http.request("PATCH", bed.path("configmaps", "one"), patch, JSON_PATCH)
    assert answer.status_code == code, answer.text


def test_merge_patch_sets_and_removes(bed: Bed) -> None:
    """A merge patch sets what it names, removes what it names null, and with an old resourceVersion conflicts."""
    read = bed.http.create(bed.path("configmaps"), config_map("one", data={"gone": "x", "kept": "x"}))
    change = {"data": {"gone": None, "new": "y"}}
    assert bed.http.change(bed.path("configmaps", "one"), change)["data"] == {"kept": "x", "new": "y"}
    stale = {"metadata": {"resourceVersion": read["metadata"]["resourceVersion"]}, "data": {"new": "z"}}
    refused(bed.http.request("PATCH", bed.path("configmaps", "one"), stale, MERGE_PATCH), 409, "Conflict")


def test_strategic_merge_patch_merges_containers_by_name(bed: Bed) -> None:
    """A strategic merge patch changes a container's image and leaves its ports; unknown media types answer 415."""
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1"))
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "shop:2"}]}}}}
    changed = bed.http.change(bed.path("deployments", "shop"), change, STRATEGIC_MERGE_PATCH)
    (container,) = changed["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["ports"][0]["containerPort"]) == ("shop:2", 8080)
    answer = bed.http.request("PATCH", bed.path("deployments", "shop"), change, "application/json")
    refused(answer, 415, "UnsupportedMediaType")


def test_a_change_of_nothing_is_no_change(bed: Bed) -> None:
    """A patch that changes nothing answers 200 and leaves the resourceVersion."""
    bed.http.create(bed.path("configmaps"), config_map("one", data={"key": "value"}))
    before = bed.http.get(bed.path("configmaps", "one"))
    assert bed.http.change(bed.path("configmaps", "one"), {"data": {"key": "value"}}) == before


def test_identity_cannot_be_patched(bed: Bed) -> None:
    """A patch of the name answers 400; creation time and uid stay what they were."""
    before = bed.http.create(bed.path("configmaps"), config_map("one"))
    answer = bed.http.request("PATCH", bed.path("configmaps", "one"), {"metadata": {"name": "two"}}, MERGE_PATCH)
    refused(answer, 400, "BadRequest")
    bed.http.request("PATCH", bed.path("configmaps", "one"), {"metadata": {"creationTimestamp": None}}, MERGE_PATCH)
    after = bed.http.get(bed.path("configmaps", "one"))
    assert after["metadata"]["creationTimestamp"] == before["metadata"]["creationTimestamp"]


def test_generation_counts_changes_of_the_spec(bed: Bed) -> None:
    """A Deployment's generation rises with its spec and its annotations, not with labels or status."""
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1"))
    bed.settled("shop")
    path = bed.path("deployments", "shop")
    first = bed.deployment("shop")["metadata"]["generation"]
    assert first == 1
    assert bed.http.change(path, {"metadata": {"labels": {"a": "b"}}})["metadata"]["generation"] == 1
    assert bed.http.change(path, {"metadata": {"annotations": {"a": "b"}}})["metadata"]["generation"] == 2
    assert bed.http.change(path, {"spec": {"replicas": 1}})["metadata"]["generation"] == 3
    assert bed.http.change(f"{path}/status", {"spec": {"replicas": 5}})["spec"]["replicas"] == 1


def test_delete_honours_preconditions(bed: Bed) -> None:
    """DELETE with another uid answers 409 and deletes nothing; with the right one it deletes."""
    created = bed.http.create(bed.path("configmaps"), config_map("one"))
    path = bed.path("configmaps", "one")
    refused(bed.http.request("DELETE", path, {"preconditions": {"uid": "another"}}), 409, "Conflict")
    deleted = bed.http.request("DELETE", path, {"preconditions": {"uid": created["metadata"]["uid"]}})
    assert (deleted.status_code, deleted.json()["status"]) == (200, "Success")
    refused(bed.http.request("GET", path), 404, "NotFound")


def test_a_deleted_namespace_takes_everything_with_it(bed: Bed) -> None:
    """Deleting a namespace refuses new objects in it, removes those that are there, pods included, and then goes."""
    body = deployment("shop", "shop:1")
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    bed.http.create(bed.path("deployments"), body)
    bed.http.create(bed.path("configmaps"), config_map("one"))
    bed.settled("shop")
    namespace = f"/api/v1/namespaces/{bed.namespace}"
    going = bed.http.request("DELETE", namespace).json()
    assert going["status"]["phase"] == "Terminating"
    answer = bed.http.request("POST", bed.path("configmaps"), config_map("two"))
    if answer.status_code != 404:
        refused(answer, 403, "Forbidden")
        assert answer.json()["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    until(lambda: bed.http.request("GET", namespace).status_code == 404, timeout=30)
    assert bed.items("pods") == bed.items("configmaps") == bed.items("deployments") == []


def test_health_and_version_are_served(bed: Bed) -> None:
    """/readyz answers "ok" and /version a version."""
    assert bed.http.request("GET", "/readyz").text == "ok"
    assert bed.http.get("/version")["gitVersion"].startswith("v1.")
