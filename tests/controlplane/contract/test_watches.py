"""WATCH: from a resourceVersion on, with selectors and bookmarks, and when that version is forgotten."""

from __future__ import annotations

import threading

from tests.controlplane.bed import Bed
from tests.controlplane.http import JSON_PATCH, Json
from tests.controlplane.manifests import config_map


def summary(events: list[Json]) -> list[tuple[str, str]]:
    """Type and name of each event, bookmarks left out."""
    return [(one["type"], one["object"]["metadata"]["name"]) for one in events if one["type"] != "BOOKMARK"]


def version(bed: Bed, plural: str = "configmaps") -> str:
    """The resourceVersion of a fresh list."""
    return str(bed.http.get(bed.path(plural))["metadata"]["resourceVersion"])


def label(bed: Bed, name: str, value: str) -> Json:
    """Change the label `side` of a ConfigMap."""
    return bed.http.change(bed.path("configmaps", name), {"metadata": {"labels": {"side": value}}})


def test_a_watch_replays_what_came_after_its_version(bed: Bed) -> None:
    """A watch from a list's resourceVersion shows each later write once, in order, and the last state of what went."""
    bed.http.create(bed.path("configmaps"), config_map("before"))
    start = version(bed)
    bed.http.create(bed.path("configmaps"), config_map("one", data={"key": "value"}))
    changed = label(bed, "one", "left")
    bed.http.request("DELETE", bed.path("configmaps", "one"))
    path = bed.path("configmaps", watch="1", resourceVersion=start, timeoutSeconds="5")
    events = bed.http.watch(path, lambda events: len(events) == 3)
    assert summary(events) == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]
    assert events[1]["object"] == changed
    assert events[2]["object"]["data"] == {"key": "value"}
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))


def test_a_watch_shows_writes_as_they_happen(bed: Bed) -> None:
    """A write that comes while a watch is open reaches it."""
    path = bed.path("configmaps", watch="true", resourceVersion=version(bed), timeoutSeconds="5")
    writer = threading.Timer(0.3, lambda: bed.http.create(bed.path("configmaps"), config_map("late")))
    writer.start()
    events = bed.http.watch(path, bool)
    writer.join()
    assert summary(events) == [("ADDED", "late")]


def test_a_watch_without_version_starts_with_what_there_is(bed: Bed) -> None:
    """A watch without resourceVersion first shows the present objects as ADDED, and ends after timeoutSeconds."""
    bed.http.create(bed.path("leases"), {"metadata": {"name": "one"}})
    events = bed.http.watch(bed.path("leases", watch="1", timeoutSeconds="1"), lambda _: False)
    assert summary(events) == [("ADDED", "one")]


def test_a_watch_with_a_selector_sees_comings_and_goings(bed: Bed) -> None:
    """To a watch with a selector, an object that begins to match is ADDED and one that ceases to is DELETED."""
    start = version(bed)
    bed.http.create(bed.path("configmaps"), config_map("one"))
    for value in ("left", "right", "left"):
        label(bed, "one", value)
    query = {"watch": "1", "resourceVersion": start, "timeoutSeconds": "5", "labelSelector": "side=left"}
    events = bed.http.watch(bed.path("configmaps", **query), lambda events: len(events) == 3)
    assert [kind for kind, _ in summary(events)] == ["ADDED", "DELETED", "ADDED"]
    assert events[1]["object"]["metadata"]["labels"] == {"side": "left"}
    by_name = bed.path("configmaps", **{**query, "labelSelector": "", "fieldSelector": "metadata.name=none"})
    assert bed.http.watch(by_name.replace("timeoutSeconds=5", "timeoutSeconds=1"), bool) == []


def test_bookmarks_move_an_idle_watch_on(bed: Bed) -> None:
    """With allowWatchBookmarks, a watch that shows nothing still learns the newest resourceVersion before it ends."""
    start = version(bed)
    query = {"watch": "1", "resourceVersion": start, "timeoutSeconds": "4", "labelSelector": "none=such"}
    written: list[int] = []

    def write() -> None:
        created = bed.http.create(bed.path("configmaps"), config_map("unseen"))
        written.append(int(created["metadata"]["resourceVersion"]))

    writer = threading.Timer(0.3, write)
    writer.start()
    (bookmark,) = bed.http.watch(bed.path("configmaps", **query, allowWatchBookmarks="true"), bool)
    writer.join()
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "ConfigMap"
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= written[0]


def test_a_forgotten_version_expires(bed: Bed) -> None:
    """A watch from a version before a compaction gets one ERROR event, a Status 410 Expired, and ends."""
    # Events, because a real API server keeps no watch cache of them, which would outlive the compaction.
    event = {"metadata": {"name": "one", "namespace": bed.namespace}, "involvedObject": {"namespace": bed.namespace}}
    bed.http.create(bed.path("events"), event)
    start = version(bed, "events")
    for name in ("two", "three"):
        bed.http.create(bed.path("configmaps"), config_map(name))
    bed.cluster.compact()
    (error,) = bed.http.watch(bed.path("events", watch="1", resourceVersion=start, timeoutSeconds="3"), lambda _: False)
    assert error["type"] == "ERROR"
    assert (error["object"]["kind"], error["object"]["code"]) == ("Status", 410)
    assert error["object"]["reason"] == "Expired"


def test_a_watch_follows_every_namespace(bed: Bed) -> None:
    """A watch of all namespaces shows objects of each."""
    path = f"/api/v1/configmaps?watch=1&resourceVersion={version(bed)}&timeoutSeconds=5"
    bed.http.create(bed.path("configmaps"), config_map("anywhere"))
    mine = [{"op": "add", "path": "/data", "value": {"a": "b"}}]
    bed.http.change(bed.path("configmaps", "anywhere"), mine, JSON_PATCH)

    def seen(events: list[Json]) -> bool:
        return ("MODIFIED", "anywhere") in summary(events)

    assert seen(bed.http.watch(path, seen))
