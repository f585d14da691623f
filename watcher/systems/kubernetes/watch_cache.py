"""What is in the cluster, kept up to date by one paged LIST and a WATCH, so that a pass asks the API server nothing.

One cache is one resource and one thread over a shared `connection`; objects are trimmed before they are kept.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from watcher.systems.kubernetes.connection import Connection
from watcher.systems.kubernetes.faults import Json, KubernetesFault, Malformed, Silent, Unavailable
from watcher.systems.kubernetes.stream import Stream

log = logging.getLogger(__name__)

_WATCH_SECONDS = (240, 360)  # how long one watch lasts: spread, so that the caches don't reconnect together
_SILENCE = 90.0  # seconds; a busy cluster's bookmarks come once a minute, a half-open connection never ends by itself
_LIVED = 30.0  # seconds after which a watch that ends has been a good one

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Resource:
    """What to watch: an API path (see paths.py), its name for messages, and selectors that the server applies."""

    path: str
    name: str
    label_selector: str = ""
    field_selector: str = ""

    def query(self) -> dict[str, str]:
        """Return the selectors as query parameters."""
        pairs = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {key: value for key, value in pairs.items() if value}


class Backoff:
    """The wait before each reconnect: doubling from 1 s to 30 s, jittered; an attempt that lived long starts anew."""

    FIRST = 1.0
    MOST = 30.0

    def __init__(self) -> None:
        self._step = 0.0

    def after(self, lived: float) -> float:
        """Return the seconds to wait after an attempt that lived `lived` seconds, a watch that ended well included."""
        if lived >= _LIVED:
            self._step = 0.0
            return random.uniform(0, self.FIRST)
        self._step = min(self.MOST, self._step * 2 or self.FIRST)
        return random.uniform(self._step / 2, self._step)


class WatchCache:
    """The objects of one resource as the API server last told. All methods may be called from any thread.

    `trim` gets each object and returns what to keep of it; what it returns is handed out as it is, so nobody may change
    it. `stop` is the daemon's: once it is set, nothing new is asked.
    """

    def __init__(
        self, connection: Connection, resource: Resource, trim: Callable[[Json], Json], stop: threading.Event
    ) -> None:
        self._connection = connection
        self._resource = resource
        self._trim = trim
        self._stop = stop
        self._stopped = threading.Event()
        self._synced = threading.Event()
        self._lock = threading.Lock()
        self._objects: dict[_Key, Json] = {}
        self._snapshot: tuple[Json, ...] | None = ()
        self._resume = ""  # the resourceVersion to watch from; empty: list first
        self._stream: Stream | None = None
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"watch-{resource.name}", daemon=True)
        self.name = resource.name  # for messages
        self.version = 0  # grows with every change of what is kept
        self.failures = 0  # attempts that ended in a fault, since the start
        self.last_error = ""  # what is wrong now; empty while the watch works

    def start(self) -> None:
        """Begin to list and watch, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch at once; what is cached stays readable."""
        self._stopped.set()
        if (stream := self._stream) is not None:
            stream.close()

    @property
    def synced(self) -> bool:
        """Whether the first list is complete. It stays so; `silent_for` tells how old the knowledge is."""
        return self._synced.is_set()

    def wait_synced(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the first list; return whether it is there."""
        return self._synced.wait(timeout)

    def items(self) -> tuple[Json, ...]:
        """Return all objects at one instant; the same tuple until something changes."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = tuple(self._objects.values())
            return self._snapshot

    def get(self, namespace: str, name: str) -> Json | None:
        """Return one object, None where it isn't there; the namespace of a cluster-wide object is empty."""
        with self._lock:
            return self._objects.get((namespace, name))

    def silent_for(self, now_monotonic: float) -> float:
        """Return the seconds since the API server last told something useful, a bookmark included."""
        return max(0.0, now_monotonic - self._heard)

    def _run(self) -> None:
        backoff = Backoff()
        while not self._ending():
            begun = time.monotonic()
            try:
                if not self._resume:
                    self._list()
                self._watch()
                if time.monotonic() - begun < _LIVED:
                    self._failed("the watch was ended early", resume=True)
            except Silent:
                pass  # a new watch from where we were tells an idle cluster from a half-open connection
            except KubernetesFault as fault:
                self._failed(fault.said, resume=_can_resume(fault))
            except Exception as error:  # a cache that died would go on looking like a quiet cluster
                log.exception("watch of %s", self._resource.name)
                self._failed(f"{type(error).__name__} in the watch of {self._resource.name}", resume=False)
            if not self._ending():
                self._stopped.wait(backoff.after(time.monotonic() - begun))

    def _ending(self) -> bool:
        return self._stop.is_set() or self._stopped.is_set()

    def _list(self) -> None:
        kept, resume = self._connection.listing(
            self._resource.path, self._resource.query(), lambda item: (_key(item), self._trim(item))
        )
        self._told()
        self._resume = resume
        with self._lock:
            if (objects := dict(kept)) != self._objects:
                self._objects = objects
                self._changed()
        self._synced.set()

    def _watch(self) -> None:
        query = {
            **self._resource.query(),
            "resourceVersion": self._resume,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),
        }
        with self._connection.stream(self._resource.path, query, _SILENCE) as stream:
            self._stream = stream  # before the check: `stop` sets its event before it looks for a stream
            self._told()
            if self._ending():
                return
            for event in stream:
                self._apply(event["type"], event["object"])
                self._told()
                if self._ending():
                    return

    def _apply(self, kind: str, item: Json) -> None:
        """Take in one event: the object first, then the resourceVersion that says it was seen."""
        version = item["metadata"].get("resourceVersion")
        if not isinstance(version, str) or not version:
            raise Malformed(f"WATCH {self._resource.path}: an event without a resourceVersion")
        if kind != "BOOKMARK":
            key = _key(item)
            kept = None if kind == "DELETED" else self._trim(item)
            with self._lock:
                if kept != self._objects.get(key):
                    if kept is None:
                        del self._objects[key]
                    else:
                        self._objects[key] = kept
                    self._changed()
        self._resume = version

    def _changed(self) -> None:
        """Note a change; the lock is held."""
        self._snapshot = None
        self.version += 1

    def _told(self) -> None:
        self._heard = time.monotonic()
        self.last_error = ""

    def _failed(self, said: str, *, resume: bool) -> None:
        if self._ending():
            return
        if said != self.last_error:
            log.warning("%s: %s", self._resource.name, said)
        self.last_error = said
        self.failures += 1
        if not resume:
            self._resume = ""


def _can_resume(fault: KubernetesFault) -> bool:
    """Whether to watch on from where we were, or list again.

    A 504 may say "Too large resource version": etcd was restored to an earlier state, and ours never comes back.
    """
    return isinstance(fault, Unavailable) and not isinstance(fault, Malformed) and fault.status != 504


def _key(item: Json) -> _Key:
    metadata = item["metadata"]
    name, namespace = metadata.get("name"), metadata.get("namespace", "")
    if not isinstance(name, str) or not name or not isinstance(namespace, str):
        raise Malformed("an object without a name")
    return namespace, name
