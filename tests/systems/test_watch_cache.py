"""The watch cache against a server that misbehaves: it follows, lists again when it must, and never hammers."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.systems.scripted_api import Json, ScriptedApi, Watch, config_map, connect, event, gone
from watcher.systems.kubernetes import Resource, WatchCache, config_maps
from watcher.systems.kubernetes.watch_cache import Backoff

PATIENCE = 5.0  # seconds: two steps of the backoff at most


def trim(item: Json) -> Json:
    """Keep the name and the value."""
    return {"name": item["metadata"]["name"], "value": item["data"]["value"]}


def wait_until(condition: Callable[[], object]) -> bool:
    """Wait for a condition that another thread brings about."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    """Start an API server whose watch is a script."""
    with ScriptedApi() as server:
        yield server


@pytest.fixture
def cache(api: ScriptedApi) -> Iterator[WatchCache]:
    """Make a cache of all ConfigMaps, not started yet."""
    watching = WatchCache(connect(api.url), Resource(config_maps(), "configmaps"), trim, threading.Event())
    yield watching
    watching.stop()


def values(cache: WatchCache) -> dict[str, str]:
    """Return what the cache holds, by name."""
    return {item["name"]: item["value"] for item in cache.items()}


def test_list_then_events(api: ScriptedApi, cache: WatchCache) -> None:
    """The list is there at once, each event changes it, and only what was kept counts as a change."""
    api.objects = [config_map("a", "1", "old"), config_map("b", "2", "old")]
    more = threading.Event()

    def script(watch: Watch) -> None:
        watch.send(event("ADDED", config_map("c", "11", "new")))
        more.wait(PATIENCE)
        watch.send(event("MODIFIED", config_map("a", "12", "new")) + event("DELETED", config_map("b", "13")))
        watch.send(
            event("MODIFIED", config_map("a", "14", "new")) + event("BOOKMARK", {"metadata": {"resourceVersion": "15"}})
        )
        watch.send(event("ADDED", config_map("end", "16")))
        watch.hang()

    api.on_watch = script
    assert not cache.synced
    cache.start()
    assert cache.wait_synced(PATIENCE)
    assert wait_until(lambda: "c" in values(cache))
    before = cache.version
    assert cache.items() is cache.items(), "a snapshot is made once"
    more.set()
    assert wait_until(lambda: "end" in values(cache))
    assert values(cache) == {"a": "new", "c": "new", "end": ""}
    assert cache.version == before + 3, "a changed, b deleted, end added; the second change of a changed nothing kept"
    assert cache.get("shop", "a") == {"name": "a", "value": "new"}
    assert cache.get("shop", "b") is None
    assert cache.silent_for(time.monotonic() + 5.0) == pytest.approx(5.0, abs=1.0)
    assert (cache.failures, cache.last_error) == (0, "")


def test_what_is_asked(api: ScriptedApi) -> None:
    """Both requests carry the selectors; the watch starts at the list's resourceVersion, bounded, with bookmarks."""
    resource = Resource(config_maps("shop"), "configmaps", "app=web", "metadata.name=a")
    cache = WatchCache(connect(api.url), resource, trim, threading.Event())
    cache.start()
    assert wait_until(lambda: api.watches)
    cache.stop()
    assert api.lists == [{"labelSelector": "app=web", "fieldSelector": "metadata.name=a", "limit": "50"}]
    (asked,) = api.watches
    assert 240 <= int(asked["timeoutSeconds"]) <= 360
    assert {key: value for key, value in asked.items() if key != "timeoutSeconds"} == {
        "labelSelector": "app=web",
        "fieldSelector": "metadata.name=a",
        "resourceVersion": "10",
        "allowWatchBookmarks": "true",
        "watch": "true",
    }


def test_a_cut_watch_goes_on_where_it_was(api: ScriptedApi, cache: WatchCache) -> None:
    """After a cut the cache watches from the last event or bookmark that it saw, without listing again."""

    def script(watch: Watch) -> None:
        if len(api.watches) == 1:
            watch.send(
                event("ADDED", config_map("a", "11")) + event("BOOKMARK", {"metadata": {"resourceVersion": "15"}})
            )
            return  # without the end of the chunked body: cut
        watch.send(event("ADDED", config_map("b", "16")))
        watch.hang()

    api.on_watch = script
    cache.start()
    assert wait_until(lambda: "b" in values(cache))
    assert [asked["resourceVersion"] for asked in api.watches] == ["10", "15"]
    assert len(api.lists) == 1
    assert (cache.failures, cache.last_error) == (1, "")


@pytest.mark.parametrize(
    "line",
    [
        gone(),
        b"<html>\n",
        event("ADDED", {"metadata": {"resourceVersion": "12"}}),
        event("ADDED", {"metadata": {"name": "x"}, "data": {"value": "1"}}),
        event("ADDED", {"metadata": {"name": "no-data", "namespace": "shop", "resourceVersion": "12"}}),
    ],
    ids=["410", "not-json", "no-name", "no-version", "trim-fails"],
)
def test_listed_again(api: ScriptedApi, cache: WatchCache, line: bytes) -> None:
    """A 410, a broken event, an object that can't be trimmed: all end in a new list, without what was deleted."""
    api.objects = [config_map("stays", "1"), config_map("goes", "2")]

    def script(watch: Watch) -> None:
        if len(api.watches) == 1:
            api.objects, api.version = [config_map("stays", "1"), config_map("comes", "19")], "20"
            watch.send(line)
        watch.hang()

    api.on_watch = script
    cache.start()
    assert cache.wait_synced(PATIENCE)
    assert wait_until(lambda: "comes" in values(cache))
    assert set(values(cache)) == {"stays", "comes"}
    assert wait_until(lambda: len(api.watches) == 2)
    assert api.watches[1]["resourceVersion"] == "20"
    assert cache.failures == 1


def test_a_list_that_says_the_same_is_no_change(api: ScriptedApi, cache: WatchCache) -> None:
    """Listing again wakes nobody up if nothing that is kept has changed."""
    api.objects = [config_map("a", "1")]
    api.on_watch = lambda watch: watch.send(gone()) if len(api.watches) == 1 else watch.hang()
    cache.start()
    assert wait_until(lambda: len(api.watches) == 2)
    assert cache.version == 1


def test_a_410_within_the_list(api: ScriptedApi, cache: WatchCache) -> None:
    """A list that expires between its pages starts over; what the first attempt had read is not kept."""

    def listed(query: Mapping[str, str]) -> tuple[int, Json]:
        if "continue" in query:
            return 410, {"kind": "Status", "code": 410, "reason": "Expired"}
        if len(api.lists) == 1:
            return 200, {"metadata": {"resourceVersion": "5", "continue": "x"}, "items": [config_map("deleted", "1")]}
        return 200, {"metadata": {"resourceVersion": "9"}, "items": [config_map("a", "2")]}

    api.on_list = listed
    cache.start()
    assert cache.wait_synced(PATIENCE)
    assert set(values(cache)) == {"a"}


@pytest.mark.parametrize("how", ["ended", "cut", "410"])
def test_a_stream_cut_at_once_does_not_hammer(api: ScriptedApi, cache: WatchCache, how: str) -> None:
    """A server that ends each watch at once gets about one request a second at first, and fewer afterwards."""
    endings: dict[str, Callable[[Watch], None]] = {
        "ended": Watch.finish,
        "cut": lambda watch: None,
        "410": lambda watch: watch.send(event("BOOKMARK", {"metadata": {"resourceVersion": "11"}}) + gone()),
    }
    api.on_watch = endings[how]
    cache.start()
    time.sleep(1.6)
    assert 2 <= len(api.watches) <= 3
    assert len(api.lists) <= 3
    assert cache.failures >= 2
    assert cache.last_error
    assert cache.synced


def test_backoff_grows_and_a_long_watch_resets_it() -> None:
    """The wait doubles from 1 s to 30 s, jittered by half; after a watch that lived it is a second at most again."""
    backoff = Backoff()
    waits = [backoff.after(0.1) for _ in range(8)]
    for wait, ceiling in zip(waits, [1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert ceiling / 2 <= wait <= ceiling
    assert backoff.after(300.0) <= 1.0
    assert backoff.after(0.1) <= 1.0
    assert len({Backoff().after(0.0) for _ in range(10)}) > 5, "jittered"


@pytest.mark.parametrize(
    "answer",
    [
        (403, {"kind": "Status", "code": 403, "message": "cannot list"}),
        (200, {"unexpected": True}),
        (200, {"metadata": {}, "items": []}),
    ],
)
def test_a_list_that_fails(api: ScriptedApi, cache: WatchCache, answer: tuple[int, Json]) -> None:
    """As long as no list came through the cache isn't synced and says why; then it recovers by itself."""
    fail = threading.Event()
    api.on_list = lambda query: api.whole_list(query) if fail.is_set() else answer
    cache.start()
    assert wait_until(lambda: cache.last_error)
    assert not cache.wait_synced(0.05)
    fail.set()
    assert cache.wait_synced(PATIENCE)
    assert wait_until(lambda: not cache.last_error)


def test_stop_ends_at_once(api: ScriptedApi, cache: WatchCache) -> None:
    """Stopping closes a silent stream and ends the thread; what is cached stays."""
    api.objects = [config_map("a", "1")]
    cache.start()
    assert wait_until(lambda: api.watches)
    names = {thread.name for thread in threading.enumerate()}
    assert "watch-configmaps" in names
    cache.stop()
    assert wait_until(lambda: "watch-configmaps" not in {thread.name for thread in threading.enumerate()})
    assert set(values(cache)) == {"a"}
    assert cache.last_error == ""
    assert len(api.watches) == 1


def test_readers_see_whole_snapshots(api: ScriptedApi, cache: WatchCache) -> None:
    """Readers in other threads never see half of a change, nor a version that runs backwards."""
    api.objects = [config_map(f"n{number}", "1") for number in range(50)]
    rounds = 100

    def script(watch: Watch) -> None:
        versions = itertools.count(11)
        for _ in range(rounds):
            for number in range(50):
                watch.send(event("DELETED", config_map(f"n{number}", str(next(versions)))))
                watch.send(event("ADDED", config_map(f"n{number}", str(next(versions)))))
        watch.send(event("ADDED", config_map("end", "99999")))
        watch.hang()

    api.on_watch = script
    cache.start()
    assert cache.wait_synced(PATIENCE)
    wrong: list[object] = []

    def read() -> None:
        last = 0
        while cache.get("shop", "end") is None:
            version, items = cache.version, cache.items()
            if version < last or len({item["name"] for item in items}) != len(items) or not 49 <= len(items) <= 51:
                wrong.append((version, len(items)))
            last = version
            time.sleep(0.001)

    readers = [threading.Thread(target=read, daemon=True) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(20)
    assert cache.get("shop", "end") is not None
    assert not wrong
    assert cache.version == 1 + rounds * 100 + 1
