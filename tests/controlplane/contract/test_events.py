"""Events: one object under two API groups, and what an Event must say."""

from __future__ import annotations

import pytest

from tests.controlplane.bed import Bed
from tests.controlplane.http import Json

DROPPED = object()


def event(bed: Bed, **fields: object) -> Json:
    """An Event of events.k8s.io/v1 about a Deployment; `fields` override its own, or drop them."""
    body: Json = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "shop.1"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Warning",
        "reason": "RolledBack",
        "action": "RollBack",
        "reportingController": "canary-watch.io/daemon",
        "reportingInstance": "daemon-1",
        "regarding": {"kind": "Deployment", "name": "shop", "namespace": bed.namespace},
        "note": "rolled back",
        **fields,
    }
    return {name: value for name, value in body.items() if value is not DROPPED}


def paths(bed: Bed) -> tuple[str, str]:
    """Where events.k8s.io/v1 and where core/v1 serve this namespace's Events."""
    return f"/apis/events.k8s.io/v1/namespaces/{bed.namespace}/events", bed.path("events")


def test_an_event_is_seen_under_both_groups(bed: Bed) -> None:
    """An Event that is created in events.k8s.io/v1 is the same object in core/v1, under that group's names."""
    new, core = paths(bed)
    created = bed.http.create(new, event(bed))
    assert (created["apiVersion"], created["note"]) == ("events.k8s.io/v1", "rolled back")
    old = bed.http.get(f"{core}/shop.1")
    assert (old["apiVersion"], old["message"], old["involvedObject"]["name"]) == ("v1", "rolled back", "shop")
    assert (old["reportingComponent"], old["metadata"]["uid"]) == ("canary-watch.io/daemon", created["metadata"]["uid"])
    changed = bed.http.change(f"{new}/shop.1", {"note": "and verified"})
    assert changed["note"] == bed.http.get(f"{core}/shop.1")["message"] == "and verified"
    (listed,) = bed.http.get(new)["items"]
    assert listed["note"] == "and verified"
    (seen,) = bed.http.watch(f"{new}?watch=1&timeoutSeconds=5", bool)
    assert (seen["type"], seen["object"]["note"]) == ("ADDED", "and verified")
    selected = bed.http.get(f"{core}?fieldSelector=involvedObject.name=shop,reason=RolledBack")
    assert len(selected["items"]) == 1


@pytest.mark.parametrize("field", ["eventTime", "type", "reason", "action", "reportingController", "reportingInstance"])
def test_an_event_must_be_complete(bed: Bed, field: str) -> None:
    """An Event of events.k8s.io/v1 without one of its required fields answers 422, naming it."""
    answer = bed.http.request("POST", paths(bed)[0], event(bed, **{field: DROPPED}))
    assert answer.status_code == 422, answer.text
    assert field in {cause["field"] for cause in answer.json()["details"]["causes"]}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"note": "x" * 1025}, 422),
        ({"reason": "x" * 129}, 422),
        ({"type": "Odd"}, 422),
        ({"reportingController": "canary watch"}, 422),
        ({"regarding": DROPPED}, 422),
        ({"eventTime": "2026-01-01T00:00:00Z"}, 400),
        ({"note": "x" * 1024}, 201),
    ],
)
def test_what_an_event_may_say(bed: Bed, fields: dict[str, object], code: int) -> None:
    """Too long, unknown or malformed fields of an Event are refused."""
    answer = bed.http.request("POST", paths(bed)[0], event(bed, **fields))
    assert answer.status_code == code, answer.text
