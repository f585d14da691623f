"""LIST and WATCH on the embedded cluster's store: paging, selectors, bookmarks, expiry."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from watcher.sandbox.cluster import refusal
from watcher.sandbox.cluster.kinds import Key, Kind, Object
from watcher.sandbox.cluster.selectors import Test, field_test, label_test
from watcher.sandbox.cluster.store import Change, Forgotten, Store, at_version

Parameters = Mapping[str, str]

TOO_OLD_TO_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
BOOKMARK_INTERVAL = 60.0
BOOKMARK_BEFORE_END = 2.0
"""A real server sends bookmarks about once a minute and two seconds before a watch ends."""

DEFAULT_WATCH_SECONDS = 1800.0
HANG_UP_CHECK_SECONDS = 1.0


@dataclass(frozen=True)
class Selection:
    """Which objects of a kind a request is about; namespace "" means all."""

    kind: Kind
    namespace: str
    labels: Test
    fields: Test
    selective: bool

    @classmethod
    def read(cls, kind: Kind, namespace: str, parameters: Parameters) -> Selection:
        """From a request's path and parameters; raises a 400 for selectors that can't be read."""
        labels, fields = parameters.get("labelSelector", ""), parameters.get("fieldSelector", "")
        return cls(kind, namespace, label_test(labels), field_test(kind, fields), bool(labels or fields))

    def holds(self, item: Object | None) -> bool:
        """Whether an object, None for none, is among them."""
        if item is None or self.namespace not in {"", item["metadata"].get("namespace")}:
            return False
        return self.labels(item) and self.fields(item)


def list_page(store: Store, selection: Selection, parameters: Parameters) -> Object:
    """The answer to a LIST: `limit` and `continue` page through the state as it was at the first page."""
    limit, version, start = _number(parameters, "limit"), parameters.get("resourceVersion", ""), ("", "")
    if token := parameters.get("continue", ""):
        if version not in {"", "0"}:
            raise refusal.bad_request("specifying resource version is not allowed when using continue")
        at, start = _read_token(token)
    else:
        at = _number(parameters, "resourceVersion") if parameters.get("resourceVersionMatch") == "Exact" else -1
        limit = 0 if version == "0" else limit
    with store.lock:
        at = store.version if at < 0 else at
        try:
            objects = store.as_of(selection.kind, at)
        except Forgotten as error:
            raise _expired_list(token, start) from error
    found = sorted(key for key, item in objects.items() if key > start and selection.holds(item))
    page = found[:limit] if limit else found
    metadata: Object = {"resourceVersion": str(at)}
    if len(page) < len(found):
        metadata["continue"] = _token(at, page[-1])
        if not selection.selective:
            metadata["remainingItemCount"] = len(found) - len(page)
    kind = selection.kind
    items = [
        {name: value for name, value in objects[key].items() if name not in {"kind", "apiVersion"}} for key in page
    ]
    return {"kind": f"{kind.name}List", "apiVersion": kind.api_version, "metadata": metadata, "items": items}


def watch(store: Store, selection: Selection, parameters: Parameters, gone: Callable[[], bool]) -> Iterator[Object]:
    """The events of a WATCH until its `timeoutSeconds` are over or `gone` says that nobody listens any more.

    Parameters that can't be read are refused before the first event is asked for.
    """
    end = time.monotonic() + (_number(parameters, "timeoutSeconds") or DEFAULT_WATCH_SECONDS)
    bookmarks = _Bookmarks(end) if parameters.get("allowWatchBookmarks") in {"true", "1"} else None
    watched = _watched_version(parameters)
    with store.lock:
        present = sorted(store.all(selection.kind).items()) if watched == 0 else []
        version = watched or store.version
    added: list[Object] = [{"type": "ADDED", "object": item} for _, item in present if selection.holds(item)]
    return itertools.chain(added, _follow(store, selection, version, _Pace(end, gone, bookmarks)))


def _follow(store: Store, selection: Selection, version: int, pace: _Pace) -> Iterator[Object]:
    sent = version
    while not pace.gone():
        try:
            changes = store.since(version)
        except Forgotten as error:
            yield {"type": "ERROR", "object": refusal.expired(str(error)).status}
            return
        for change in changes:
            version = change.version
            if event := _event(selection, change):
                sent = version
                yield event
        if pace.bookmarks and pace.bookmarks.due() and version > sent:
            sent = version
            yield _bookmark(selection.kind, version)
        if (seconds := pace.wait()) <= 0:
            return
        store.wait(version, seconds)


class _Bookmarks:
    """When the next bookmark is due."""

    def __init__(self, end: float) -> None:
        self._last = end - BOOKMARK_BEFORE_END
        self._next = min(time.monotonic() + BOOKMARK_INTERVAL, self._last)

    def due(self) -> bool:
        """Whether one is due; asking moves on to the next."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = min(now + BOOKMARK_INTERVAL, self._last) if now < self._last else float("inf")
        return True

    def wait(self) -> float:
        """Seconds until then."""
        return max(self._next - time.monotonic(), 0.0)


@dataclass(frozen=True)
class _Pace:
    """How long a watch goes on, on the monotonic clock, and when to look up in between."""

    end: float
    gone: Callable[[], bool]
    bookmarks: _Bookmarks | None

    def wait(self) -> float:
        """Seconds until there is something to do even if nothing changes; 0 or less once the watch is over."""
        left = self.end - time.monotonic()
        if left <= 0 or self.bookmarks is None:
            return min(left, HANG_UP_CHECK_SECONDS)
        return min(left, HANG_UP_CHECK_SECONDS, max(self.bookmarks.wait(), 0.001))


def _event(selection: Selection, change: Change) -> Object | None:
    """What a watcher with this selection sees of a change: leaving the selection is a deletion to it."""
    if change.kind is not selection.kind:
        return None
    before, after = selection.holds(change.before), selection.holds(change.after)
    if after:
        return {"type": "MODIFIED" if before else "ADDED", "object": change.after}
    if not before or change.before is None:
        return None
    return {"type": "DELETED", "object": at_version(change.before, change.version)}


def _bookmark(kind: Kind, version: int) -> Object:
    metadata = {"resourceVersion": str(version), "creationTimestamp": None}
    return {"type": "BOOKMARK", "object": {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}}


def _watched_version(parameters: Parameters) -> int:
    text = parameters.get("resourceVersion", "")
    if text and not text.isdigit():
        message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise refusal.Refusal(500, "", message)
    return int(text or 0)


def _number(parameters: Parameters, name: str) -> int:
    text = parameters.get(name, "")
    if text and not text.isdigit():
        raise refusal.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text or 0)


def _token(version: int, last: Key) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": "/".join(last)})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, Key]:
    try:
        read = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = read["start"].split("/")
        return int(read["rv"]), (namespace, name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise refusal.bad_request(f"invalid continue token: continue key is not valid: {error}") from error


def _expired_list(token: str, start: Key) -> refusal.Refusal:
    if not token:
        return refusal.expired("The resourceVersion for the provided list is too old.")
    answer = refusal.expired(TOO_OLD_TO_CONTINUE)
    answer.status["metadata"] = {"continue": _token(-1, start)}
    return answer
