"""The daemon's own connection as the sandbox's node wants it: so it reaches any cluster that a kubeconfig can name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from watcher.sandbox.cluster.client import Refused
from watcher.systems.kubernetes import Connection, KubernetesFault

SILENT = 15.0  # seconds that a watch may be silent


class Through:
    """The node's client over a Connection; refusals become the node's own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, path: str) -> dict[str, Any]:
        """The document at `path`."""
        return self._told(lambda: self._connection.get(path))

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST an object."""
        return self._told(lambda: self._connection.create(path, body))

    def merge(self, path: str, change: dict[str, Any]) -> dict[str, Any]:
        """PATCH with a merge patch."""
        return self._told(lambda: self._connection.merge_patch(path, change))

    def delete(self, path: str, options: dict[str, Any]) -> dict[str, Any]:
        """DELETE at once."""
        query = {"gracePeriodSeconds": str(options.get("gracePeriodSeconds", 0))}
        return self._told(lambda: self._connection.delete(path, query))

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        """The events of the watch at `path`, until the server ends it."""
        bare, _, query = path.partition("?")
        try:
            with self._connection.stream(bare, dict(parse_qsl(query)), SILENT) as stream:
                yield from stream
        except KubernetesFault as fault:
            raise Refused(fault.status, fault.said) from fault

    def drop_kept(self) -> None:
        """Connections are pooled: none belongs to a thread."""

    def close(self) -> None:
        """The connection is the town's."""

    def _told(self, ask: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = ask()
        except KubernetesFault as fault:
            raise Refused(fault.status, fault.said) from fault
        return answer
