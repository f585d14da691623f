"""A watch's stream: its events, its errors, its silence, and its end from another thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.systems.scripted_api import ScriptedApi, Watch, config_map, connect, event, gone
from watcher.systems import kubernetes as k8s


@pytest.fixture
def scripted() -> Iterator[ScriptedApi]:
    """Start an API server whose watch is a script."""
    with ScriptedApi() as server:
        yield server


def test_a_stream_gives_events(scripted: ScriptedApi) -> None:
    """Events come as they are sent, however they are cut into chunks, until the server ends the watch."""

    def script(watch: Watch) -> None:
        line = event("ADDED", config_map("a", "11")) + event("BOOKMARK", config_map("a", "12"))
        for start in range(0, len(line), 7):
            watch.send(line[start : start + 7])
        watch.finish()

    scripted.on_watch = script
    with connect(scripted.url).stream(k8s.config_maps(), {"resourceVersion": "10"}, 2.0) as stream:
        assert [(e["type"], e["object"]["metadata"]["resourceVersion"]) for e in stream] == [
            ("ADDED", "11"),
            ("BOOKMARK", "12"),
        ]
    assert scripted.watches == [{"watch": "true", "resourceVersion": "10"}]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (gone(), k8s.Gone),
        (event("ERROR", {"kind": "Status", "code": 500, "message": "etcd is away"}), k8s.Unavailable),
        (event("ERROR", {}), k8s.Unavailable),
        (b"<html>\n", k8s.Malformed),
        (b"[]\n", k8s.Malformed),
        (event("RENAMED", config_map("a", "1")), k8s.Malformed),
        (b'{"type": "ADDED", "object": null}\n', k8s.Malformed),
        (b'{"type": "ADDED", "object": {}}\n', k8s.Malformed),
        (b'{"type": "ADDED", "obj', k8s.Unavailable),
    ],
)
def test_a_stream_that_goes_wrong(scripted: ScriptedApi, line: bytes, expected: type[k8s.KubernetesFault]) -> None:
    """Errors in a watch, its cut and its nonsense each have their exception, after the good events before them."""

    def script(watch: Watch) -> None:
        watch.send(event("ADDED", config_map("a", "11")))
        watch.send(line)

    scripted.on_watch = script
    with connect(scripted.url).stream(k8s.config_maps(), None, 2.0) as stream:
        events = iter(stream)
        assert next(events)["type"] == "ADDED"
        with pytest.raises(expected):
            next(events)


def test_a_silent_stream_ends(scripted: ScriptedApi) -> None:
    """A half-open connection, from which nothing will ever come, is given up after the read timeout."""
    with pytest.raises(k8s.Silent, match="in time"):
        list(connect(scripted.url).stream(k8s.config_maps(), None, 0.2))


def test_a_stream_is_closed_from_another_thread(scripted: ScriptedApi) -> None:
    """Closing a stream wakes the thread that reads it, without an error."""
    stream = connect(scripted.url).stream(k8s.config_maps(), None, 30.0)
    threading.Timer(0.1, stream.close).start()
    begun = time.monotonic()
    with stream:
        assert list(stream) == []
    assert time.monotonic() - begun < 1.0
