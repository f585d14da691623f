"""A watch's events as they come off the wire: opened by `connection`, read by `watch_cache`, closed by any thread."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import urllib3

from watcher.systems.kubernetes.faults import Json, Malformed, Silent, Unavailable, told_by, unreachable

_LONGEST_EVENT = 16 * 1024 * 1024  # bytes; etcd keeps no object over 1.5 MiB
_CHUNK = 65536


class Stream:
    """Iterate over it for events of type ADDED, MODIFIED, DELETED and BOOKMARK, each {"type": ..., "object": {...}}.

    Ends when the server ends the watch or `close` was called. Raises Gone for an ERROR event with code 410, another
    KubernetesFault for other errors, Silent after the read timeout, Unavailable for a cut connection, Malformed for
    what is no event.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, request: str, server: str) -> None:
        self._response = response
        self._request = request
        self._server = server
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed = True
        with suppress(Exception):  # the connection is dropped; how it takes that is of no interest
            self._response.close()

    def close(self) -> None:
        """End the iteration at once, from whatever thread."""
        self._closed = True
        # Shutting the socket down wakes a reader that waits in recv(); closing it would not.
        with suppress(Exception):
            self._response.shutdown()

    def __iter__(self) -> Iterator[Json]:
        for line in self._lines():
            event = _event(line, self._request)
            if event["type"] == "ERROR":
                raise told_by(event["object"], self._request)
            yield event

    def _lines(self) -> Iterator[bytes]:
        rest = bytearray()
        while chunk := self._read():
            rest += chunk
            if b"\n" in chunk:
                *lines, tail = bytes(rest).split(b"\n")
                rest = bytearray(tail)
                for line in lines:
                    if self._closed:
                        return
                    if line.strip():
                        yield line
            if len(rest) > _LONGEST_EVENT:
                raise Malformed(f"{self._request}: an event of more than {_LONGEST_EVENT} bytes")
        if rest.strip() and not self._closed:
            raise Unavailable(f"{self._request}: the stream was cut within an event")

    def _read(self) -> bytes:
        """Wait for the next bytes, none at the end or once closed."""
        try:
            return b"" if self._closed else self._response.read1(_CHUNK)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            # ValueError and AttributeError: the file object was closed under the reader by another thread.
            if self._closed:
                return b""
            if isinstance(error, urllib3.exceptions.ReadTimeoutError):
                raise Silent(f"{self._request}: nothing from {self._server} in time") from None
            raise unreachable(error, self._request, self._server) from None


def _event(line: bytes, request: str) -> Json:
    try:
        event = json.loads(line)
    except ValueError:
        raise Malformed(f"{request}: the stream holds something that is not JSON") from None
    if (
        not isinstance(event, dict)
        or event.get("type") not in {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"}
        or not isinstance(event.get("object"), dict)
        or not (event["type"] == "ERROR" or isinstance(event["object"].get("metadata"), dict))
    ):
        raise Malformed(f"{request}: the stream holds something that is not an event")
    return event
