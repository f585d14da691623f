"""Rollouts out of what the watch cache holds: pure readings of Kubernetes objects (raw JSON, trimmed).

The trims keep only the fields that are read here, so that a thousand Deployments fit in little memory.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from watcher.judgement.model import Revision, Rollout
from watcher.policy.model import PREFIX, Policy

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
ROLLED_BACK = PREFIX + "rolled-back"
VERDICT = PREFIX + "verdict"
VERDICT_OF = PREFIX + "verdict-of"
DOUBTED = PREFIX + "doubted"
STARTED = PREFIX + "rollout-started"
SCHEMA_SEEN = PREFIX + "schema-seen"

# The daemon's marks on ReplicaSets. `kubectl rollout undo` copies them to the Deployment, where none belongs.
MARKS = (VERDICT, VERDICT_OF, DOUBTED, STARTED, SCHEMA_SEEN)

# A watch that ended while Prometheus was silent may still end well: its last judgement is tried for so long.
GRACE = 600.0

# A policy may read its threshold from any annotation; what is longer than this is no threshold (last-applied, say).
LONGEST_NOTE = 256

# What the Deployment controller writes: a positive int64 in decimal.
_NUMBER = re.compile(r"[0-9]{1,19}")

# A generated name is cut to this before its five random characters: k8s.io/apiserver/pkg/storage/names/generate.go
_LONGEST_PREFIX = 58

Object = Mapping[str, Any]


def parse_time(text: str) -> float:
    """Turn an RFC 3339 time into epoch seconds; ValueError where it is none, has no zone or is too far away."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    try:
        return moment.astimezone(UTC).timestamp()
    except OverflowError:  # a zone can carry it out of the years 1 to 9999, which `write_time` couldn't write
        raise ValueError(f"{text!r} is too far away") from None


def write_time(moment: float) -> str:
    """Turn epoch seconds into RFC 3339 in UTC, to the second, as Kubernetes writes it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def trim(obj: Object, *, metadata: Sequence[str] = (), **parts: Sequence[str]) -> dict[str, Any]:
    """Copy `obj` with only its name, namespace, UID, version, `metadata` extras, and the named fields of each part."""
    kept = ("name", "namespace", "uid", "resourceVersion", *metadata)
    meta = obj.get("metadata") or {}
    small: dict[str, Any] = {"metadata": {key: meta[key] for key in kept if key in meta}}
    for part, fields in parts.items():
        whole = obj.get(part) or {}
        small[part] = {key: whole[key] for key in fields if key in whole}
    return small


def trim_deployment(obj: Object) -> dict[str, Any]:
    """Keep of a Deployment what the rollouts are read from; the template stays on the server."""
    small = trim(obj, metadata=("labels", "annotations", "generation"), spec=("paused",), status=("conditions",))
    notes = small["metadata"].get("annotations") or {}
    short = {k: v for k, v in notes.items() if k.startswith(PREFIX) or len(v) <= LONGEST_NOTE}
    small["metadata"]["annotations"] = short
    conditions = small["status"].get("conditions") or []
    small["status"] = {"conditions": [c for c in conditions if c.get("type") == "Progressing"]}
    return small


def trim_replica_set(obj: Object) -> dict[str, Any]:
    """Keep of a ReplicaSet its owner, its revision, our annotations and how many pods it has."""
    small = trim(obj, metadata=("creationTimestamp", "ownerReferences", "annotations"), status=("replicas",))
    meta = small["metadata"]
    notes = meta.get("annotations") or {}
    kept = (REVISION, REVISION_HISTORY, *MARKS)
    meta["annotations"] = {key: notes[key] for key in kept if key in notes}
    owners = meta.get("ownerReferences") or []
    meta["ownerReferences"] = [{"uid": o.get("uid")} for o in owners if o.get("controller")]
    return small


def trim_namespace(obj: Object) -> dict[str, Any]:
    """Keep of a Namespace its own annotations of ours: the pause is there."""
    small = trim(obj, metadata=("annotations",))
    notes = small["metadata"].get("annotations") or {}
    small["metadata"]["annotations"] = {k: v for k, v in notes.items() if k.startswith(PREFIX)}
    return small


def trim_job(obj: Object) -> dict[str, Any]:
    """Keep of a smoke test's Job its label, its age and how it ended."""
    return trim(obj, metadata=("labels", "creationTimestamp"), status=("conditions",))


def revision_of(replica_set: Object) -> Revision | None:
    """Read a ReplicaSet as a revision; None where it carries no revision number yet.

    A verdict counts only with the ReplicaSet's own UID beside it: `kubectl rollout undo` copies annotations from a
    ReplicaSet to the Deployment, and the Deployment controller from there to the next ReplicaSet.
    """
    meta = replica_set["metadata"]
    notes = meta.get("annotations") or {}
    number = str(notes.get(REVISION, ""))
    if not _NUMBER.fullmatch(number):
        return None
    verdict = str(notes.get(VERDICT, "")) if notes.get(VERDICT_OF) == meta.get("uid") else ""
    seen_by, at, asked, schema = (*str(notes.get(SCHEMA_SEEN, "")).split("@", 3), "", "", "", "")[:4]
    own = (seen_by, at) == (meta.get("uid"), str(int(number)))
    former = str(notes.get(REVISION_HISTORY, "")).split(",")
    return Revision(
        number=int(number),
        replica_set=str(meta["name"]),
        uid=str(meta["uid"]),
        verdict=verdict,
        replicas=int((replica_set.get("status") or {}).get("replicas") or 0),
        doubted=notes.get(DOUBTED) == f"{meta.get('uid')}@{int(number)}",
        former=tuple(int(one) for one in former if _NUMBER.fullmatch(one)),
        schema=schema if own else "",
        schema_by=asked if own else "",
    )


def pod_prefix(replica_set: str) -> str:
    """Say what the names of a ReplicaSet's pods begin with: its name and a dash, cut where generated names are cut."""
    return f"{replica_set}-"[:_LONGEST_PREFIX]


def start_of(deployment: Object, replica_set: Object, first_seen: float | None) -> tuple[float, bool]:
    """Say when the rollout to `replica_set` started, in epoch seconds, and whether that has yet to be recorded.

    A new ReplicaSet's creation is the start. One that is used again is older than its rollout: what was recorded on it
    counts, else `first_seen` (the change was seen happening), else the Deployment's last progress.
    """
    meta = replica_set["metadata"]
    notes = meta.get("annotations") or {}
    created = parse_time(str(meta["creationTimestamp"]))
    if REVISION_HISTORY not in notes:
        return created, False
    number, _, moment = str(notes.get(STARTED, "")).partition("@")
    if number and number == notes.get(REVISION):
        try:
            return parse_time(moment), False
        except ValueError:
            pass
    seen = first_seen if first_seen is not None else last_progress(deployment)
    return (created if seen is None else seen), True


def last_progress(deployment: Object) -> float | None:
    """Say when the Deployment last made progress, in epoch seconds (whole ones); None where it doesn't tell."""
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Progressing" and condition.get("lastUpdateTime"):
            try:
                return parse_time(str(condition["lastUpdateTime"]))
            except ValueError:
                return None
    return None


def own_revert(deployment: Object, revision: Revision) -> bool:
    """Say whether `revision` is what this daemon rolled back to: its own reverts are not judged again.

    The number alone may be a person's: where theirs came before the controller saw ours, it bears the one foretold.
    """
    note = rolled_back_note(deployment)
    mine = note.get("uid") == deployment["metadata"].get("uid")
    return mine and note.get("revision") == revision.number and note.get("replicaSet") == revision.uid


def rolled_back_note(deployment: Object) -> dict[str, Any]:
    """Read the `rolled-back` annotation, a JSON object; empty where there is none, or somebody wrote another thing."""
    try:
        note = json.loads((deployment["metadata"].get("annotations") or {}).get(ROLLED_BACK, ""))
    except (ValueError, RecursionError):  # anybody may write there, and one Deployment must not end the pass
        return {}
    return note if isinstance(note, dict) else {}


class History:
    """The Deployments with their ReplicaSets, put together once for each change of the cache.

    `unreadable` says what can't be read, by the Deployment's UID: such a one has no revisions, and hides no other.
    """

    def __init__(self, deployments: Iterable[Object], replica_sets: Iterable[Object]) -> None:
        self.deployments = tuple(deployments)
        self.unreadable: dict[str, str] = {}
        self._owned: dict[str, list[tuple[Revision, Object]]] = defaultdict(list)
        for replica_set in replica_sets:
            owners = replica_set["metadata"].get("ownerReferences") or []
            owner = str(owners[0].get("uid")) if owners else ""
            try:
                revision = revision_of(replica_set)
                parse_time(str(replica_set["metadata"]["creationTimestamp"]))
            except (KeyError, TypeError, ValueError) as flaw:  # nothing that an API server sends, but one may lie
                self.unreadable[owner] = f"ReplicaSet {replica_set['metadata'].get('name')} can't be read: {flaw!r}"
                continue
            if revision is not None and owner:
                self._owned[owner].append((revision, replica_set))
        for uid in self.unreadable:
            self._owned.pop(uid, None)
        for owned in self._owned.values():
            owned.sort(key=lambda pair: pair[0].number, reverse=True)

    def of(self, deployment: Object) -> list[tuple[Revision, Object]]:
        """Give a Deployment's revisions with their ReplicaSets, newest first."""
        return self._owned.get(str(deployment["metadata"].get("uid")), [])


def rollout_of(deployment: Object, owned: Sequence[tuple[Revision, Object]], first_seen: float | None) -> Rollout:
    """Put a Deployment's newest revision and the earlier ones together as a rollout."""
    meta = deployment["metadata"]
    started, _ = start_of(deployment, owned[0][1], first_seen)
    return Rollout(
        namespace=str(meta["namespace"]),
        deployment=str(meta["name"]),
        uid=str(meta["uid"]),
        new=owned[0][0],
        earlier=tuple(revision for revision, _ in owned[1:]),
        started=started,
        labels=meta.get("labels") or {},
        annotations=meta.get("annotations") or {},
        spec_paused=bool((deployment.get("spec") or {}).get("paused")),
    )


def policies_for(rollout: Rollout, policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """Choose the policies that match the rollout's Deployment."""
    return tuple(p for p in policies if p.matches(rollout.namespace, rollout.labels))


def watch_ends(rollout: Rollout, policies: Iterable[Policy]) -> float:
    """Say when the rollout's watch ends: its start plus the longest `watchFor` of its policies."""
    return rollout.started + max((p.watch_for for p in policies), default=0.0)


def target_of(rollout: Rollout, fixed: int = 0) -> Revision | None:
    """Choose the revision to go back to: the newest earlier one that is proven, else the newest that isn't condemned.

    Of those that aren't, one that was replaced while it was not healthy (`doubted`) comes last. `fixed` is the number
    of the only one that will do, 0 for any; a revision that was used again is known by its former numbers, too. None
    where there is no such revision; a condemned one never is. Runbook, step 2.
    """
    sound = [r for r in rollout.earlier if r.verdict != "condemned"]
    if fixed:
        numbered = [r for r in sound if r.number == fixed] or [r for r in sound if fixed in r.former]
        return next(iter(numbered), None)
    proven = [r for r in sound if r.verdict == "proven"]
    undoubted = [r for r in sound if not r.doubted]
    return next(iter(proven or undoubted or sound), None)
