"""`canary-watch pause` and `resume`: the annotations that people could set with kubectl, checked and confirmed."""

from __future__ import annotations

from typing import Any, TextIO

from watcher.commands.arguments import Subject, Target
from watcher.judgement.pauses import PAUSE, PAUSE_REASON, pause_in, say_pause
from watcher.judgement.rollouts import write_time
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Connection, NotFound, paths


def pause(target: Target, subject: Subject, annotations: dict[str, str], out: TextIO) -> int:
    """Set the pause's annotations on a Deployment and say what holds now. Raises Fault."""
    wanted: dict[str, str | None] = {PAUSE_REASON: None, **annotations}
    notes = _annotate(Connection.open(target.kubeconfig, target.context), subject, wanted)
    found = pause_in(notes, f"Deployment {subject}", 0.0)
    out.write(f"{say_pause(found) if found else f'{subject} is not paused'}\n")
    return 0


def pause_annotations(until: float | None, reason: str) -> dict[str, str]:
    """The annotations of a pause: until an instant (epoch seconds) or until it is removed, and why."""
    notes = {PAUSE: "true" if until is None else write_time(until)}
    return {**notes, PAUSE_REASON: reason} if reason else notes


def resume(target: Target, subject: Subject, out: TextIO) -> int:
    """Take the pause off a Deployment. Raises Fault. A Deployment that wasn't paused is left alone, and said so."""
    connection = Connection.open(target.kubeconfig, target.context)
    path = paths.deployments(subject.namespace, subject.deployment)
    present = _get(connection, path, subject)["metadata"].get("annotations") or {}
    if PAUSE not in present and PAUSE_REASON not in present:
        out.write(f"{subject} was not paused\n")
        return 0
    _annotate(connection, subject, {PAUSE: None, PAUSE_REASON: None})
    out.write(f"{subject} is resumed\n")
    return 0


def _get(connection: Connection, path: str, subject: Subject) -> dict[str, Any]:
    try:
        return connection.get(path)
    except NotFound:
        raise Fault("Kubernetes", f"there is no Deployment {subject} on {connection.server}") from None


def _annotate(connection: Connection, subject: Subject, notes: dict[str, str | None]) -> dict[str, str]:
    path = paths.deployments(subject.namespace, subject.deployment)
    try:
        changed = connection.merge_patch(path, {"metadata": {"annotations": notes}})
    except NotFound:
        raise Fault("Kubernetes", f"there is no Deployment {subject} on {connection.server}") from None
    found: dict[str, str] = changed["metadata"].get("annotations") or {}
    return found
