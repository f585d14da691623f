"""The embedded cluster's memory: objects, one resourceVersion for all of them, and a bounded history of changes."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from watcher.sandbox.cluster.kinds import Key, Kind, Object

FIRST_VERSION = 100
"""Fresh clusters start here, so that a resourceVersion of 1 is always one that has been forgotten."""

REMEMBERED_CHANGES = 5_000


class Forgotten(Exception):
    """The resourceVersion lies before the history that is remembered."""

    def __init__(self, version: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {version} ({oldest})")


@dataclass(frozen=True, slots=True)
class Change:
    """One write: `before` is None for a creation, `after` is None for a removal."""

    version: int
    kind: Kind
    key: Key
    before: Object | None
    after: Object | None


class Store:
    """Thread-safe through `lock`, which may be taken around several calls to make them one transaction.

    Objects go in and out without being copied; nobody changes one in place.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.version = FIRST_VERSION
        self._changed = threading.Condition(self.lock)
        self._objects: dict[Kind, dict[Key, Object]] = defaultdict(dict)
        self._owned: dict[str, set[tuple[Kind, Key]]] = defaultdict(set)
        self._changes: list[Change] = []

    def get(self, kind: Kind, key: Key) -> Object | None:
        """The object, None if there is none."""
        with self.lock:
            return self._objects[kind].get(key)

    def all(self, kind: Kind) -> dict[Key, Object]:
        """Every object of a kind."""
        with self.lock:
            return dict(self._objects[kind])

    def owned(self, uid: str) -> list[tuple[Kind, Key, Object]]:
        """Every object that names the object with this uid among its owners."""
        with self.lock:
            return [(kind, key, self._objects[kind][key]) for kind, key in sorted(self._owned.get(uid, ()), key=_order)]

    def put(self, kind: Kind, key: Key, item: Object) -> Object:
        """Create or replace; returns the object with its new resourceVersion."""
        with self.lock:
            before = self._objects[kind].get(key)
            stored = at_version(item, self.version + 1)
            self._index(kind, key, before, stored)
            self._objects[kind][key] = stored
            self._record(kind, key, before, stored)
            return stored

    def remove(self, kind: Kind, key: Key) -> Object:
        """Remove; returns the object as it was last, under the resourceVersion of its removal."""
        with self.lock:
            before = self._objects[kind].pop(key)
            self._index(kind, key, before, None)
            self._record(kind, key, before, None)
            return at_version(before, self.version)

    def since(self, version: int) -> list[Change]:
        """Every change after `version`, the oldest first; raises `Forgotten`."""
        with self.lock:
            forgotten = self.version - len(self._changes)
            if version < forgotten:
                raise Forgotten(version, forgotten)
            return self._changes[version - forgotten :]

    def as_of(self, kind: Kind, version: int) -> dict[Key, Object]:
        """Every object of a kind as it was at `version`; raises `Forgotten`."""
        with self.lock:
            objects = dict(self._objects[kind])
            for change in reversed(self.since(version)):
                if change.kind is not kind:
                    continue
                if change.before is None:
                    objects.pop(change.key, None)
                else:
                    objects[change.key] = change.before
            return objects

    def wait(self, version: int, timeout: float) -> bool:
        """Wait until something changes after `version`, at most `timeout` seconds; whether it did."""
        with self.lock:
            return self._changed.wait_for(lambda: self.version > version, timeout)

    def compact(self) -> None:
        """Forget all history, as etcd does every five minutes in a real cluster."""
        with self.lock:
            self._changes.clear()

    def _record(self, kind: Kind, key: Key, before: Object | None, after: Object | None) -> None:
        self.version += 1
        self._changes.append(Change(self.version, kind, key, before, after))
        if len(self._changes) > 2 * REMEMBERED_CHANGES:
            del self._changes[:-REMEMBERED_CHANGES]
        self._changed.notify_all()

    def _index(self, kind: Kind, key: Key, before: Object | None, after: Object | None) -> None:
        for uid in _owners(before):
            self._owned[uid].discard((kind, key))
            if not self._owned[uid]:
                del self._owned[uid]
        for uid in _owners(after):
            self._owned[uid].add((kind, key))


def at_version(item: Object, version: int) -> Object:
    """The object under another resourceVersion; `item` itself stays as it is."""
    return {**item, "metadata": {**item["metadata"], "resourceVersion": str(version)}}


def _owners(item: Object | None) -> Iterator[str]:
    for reference in (item or {}).get("metadata", {}).get("ownerReferences") or ():
        yield reference["uid"]


def _order(entry: tuple[Kind, Key]) -> tuple[str, Key]:
    return entry[0].name, entry[1]
