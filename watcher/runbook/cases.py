"""Where cases live: one ConfigMap each, in the daemon's own namespace, guarded by its resourceVersion."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from watcher.policy.model import PREFIX
from watcher.runbook.case import Case, read_case
from watcher.runbook.ports import Cluster
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import AlreadyExists, Conflict, NotFound

LOG = logging.getLogger("canary-watch.runbook")

LABEL = PREFIX + "case"
WRITER = PREFIX + "writer"
KEPT_FOR = 30 * 86400.0  # seconds that a closed case is kept


class TakenOver(Fault):
    """Another daemon has written this case since: it leads now, and what we hold is out of date."""


class Cases:
    """Create, read and write cases. `writer` names this process, so that it knows its own writing again."""

    def __init__(self, cluster: Cluster, namespace: str, writer: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._writer = writer
        self._versions: dict[str, str] = {}
        self._lock = threading.Lock()

    def load(self) -> dict[str, Case]:
        """Read every case, by ConfigMap name. One that can't be read is left alone, and logged. Raises Fault."""
        listed = self._cluster.get(paths.config_maps(self._namespace), {"labelSelector": LABEL})
        found: dict[str, Case] = {}
        for config_map in listed.get("items") or []:
            case = self._read(config_map)
            if case is None:
                LOG.error(
                    "ConfigMap %s holds no case that can be read; it is left alone", config_map["metadata"]["name"]
                )
            else:
                found[case.name] = case
        return found

    def open(self, case: Case) -> Case:
        """Create the case; where somebody was first (409), theirs is given. Raises Fault."""
        try:
            self._create(case)
        except AlreadyExists:
            return self.read(case.name)
        return case

    def read(self, name: str) -> Case:
        """Read one case as it is written now, whoever wrote it. Raises Fault."""
        case = self._read(self._cluster.get(paths.config_maps(self._namespace, name)))
        if case is None:
            raise Fault("Kubernetes", f"ConfigMap {name} holds no case; delete it", lasting=True)
        return case

    def written_by_another(self, config_map: Mapping[str, Any]) -> bool:
        """Say whether another hand wrote this state of an open case, and it hasn't been read yet."""
        meta = config_map["metadata"]
        foreign = (meta.get("annotations") or {}).get(WRITER) != self._writer
        still_open = (meta.get("labels") or {}).get(LABEL) == "open"
        return foreign and still_open and self._version(meta["name"]) != meta.get("resourceVersion")

    def save(self, case: Case) -> None:
        """Write the case over its last state, or anew where somebody deleted it.

        Raises TakenOver where another daemon wrote it meanwhile, else Fault.
        """
        path = paths.config_maps(self._namespace, case.name)
        try:
            written = self._cluster.replace(path, self._body(case, self._version(case.name)))
        except NotFound:
            self._create(case)
            return
        except Conflict:
            # A write of ours whose answer was lost has moved the version too: then go on from there.
            current = self._cluster.get(path)
            if _notes(current).get(WRITER) != self._writer:
                raise TakenOver("Kubernetes", f"case {case.id} is in other hands") from None
            self._remember(case.name, current)
            written = self._cluster.replace(path, self._body(case, self._version(case.name)))
        self._remember(case.name, written)

    def prune(self, every: Mapping[str, Case], now: float) -> list[str]:
        """Delete the cases closed for longer than 30 days; their names. Raises Fault."""
        old = [name for name, case in every.items() if case.closed is not None and case.closed < now - KEPT_FOR]
        for name in old:
            try:
                self._cluster.delete(paths.config_maps(self._namespace, name))
            except NotFound:
                continue
        return old

    def _create(self, case: Case) -> None:
        self._remember(case.name, self._cluster.create(paths.config_maps(self._namespace), self._body(case)))

    def _body(self, case: Case, version: str = "") -> dict[str, Any]:
        meta: dict[str, Any] = {
            "name": case.name,
            "namespace": self._namespace,
            "labels": {
                "app.kubernetes.io/managed-by": "canary-watch",
                LABEL: "open" if case.is_open else "closed",
            },
            "annotations": {WRITER: self._writer},
        }
        if version:
            meta["resourceVersion"] = version
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"case": case.write()}}

    def _read(self, config_map: dict[str, Any]) -> Case | None:
        try:
            case = read_case(str((config_map.get("data") or {}).get("case", "")))
        except ValueError:
            return None
        self._remember(case.name, config_map)
        return case

    def _version(self, name: str) -> str:
        with self._lock:
            return self._versions.get(name, "")

    def _remember(self, name: str, config_map: dict[str, Any]) -> None:
        with self._lock:
            self._versions[name] = str(config_map["metadata"].get("resourceVersion", ""))


def trim_case(config_map: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a case's ConfigMap who wrote it, and its version: enough to notice another hand's."""
    meta = config_map["metadata"]
    kept = {key: meta[key] for key in ("name", "namespace", "resourceVersion") if key in meta}
    notes = {WRITER: (meta.get("annotations") or {}).get(WRITER, "")}
    return {"metadata": {**kept, "labels": {LABEL: (meta.get("labels") or {}).get(LABEL, "")}, "annotations": notes}}


def _notes(obj: dict[str, Any]) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}
