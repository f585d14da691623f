"""The cluster as a pass sees it: rollouts, pauses and smoke tests out of the watch caches, without a request.

Between `systems.kubernetes` (the caches) and `watch` (the pass); reading the objects is `judgement.rollouts`.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from watcher.judgement.model import Pause, Rollout
from watcher.judgement.pauses import pause_in
from watcher.judgement.rollouts import (
    GRACE,
    History,
    last_progress,
    own_revert,
    parse_time,
    policies_for,
    rollout_of,
    start_of,
    watch_ends,
)
from watcher.policy.model import Policy

LOG = logging.getLogger("canary-watch")


class Cache(Protocol):
    """What is needed of a watch cache."""

    @property
    def synced(self) -> bool:
        """Whether it has been filled once."""

    @property
    def version(self) -> int:
        """Grows with every change."""

    def items(self) -> tuple[dict[str, Any], ...]:
        """Every object, trimmed."""

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, or None; `namespace` is empty for cluster-scoped ones."""


class Joined:
    """The caches of several namespaces as one."""

    def __init__(self, parts: Sequence[Cache]) -> None:
        self._parts = tuple(parts)

    @property
    def synced(self) -> bool:
        """Whether each has been filled once."""
        return all(part.synced for part in self._parts)

    @property
    def version(self) -> int:
        """Grows with every change of any of them."""
        return sum(part.version for part in self._parts)

    def items(self) -> tuple[dict[str, Any], ...]:
        """Every object of all of them."""
        return tuple(item for part in self._parts for item in part.items())

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, or None."""
        return next((found for part in self._parts if (found := part.get(namespace, name))), None)


@dataclass(frozen=True, slots=True)
class Caches:
    """The watch caches; `jobs` by the label that marks a smoke test."""

    deployments: Cache
    replica_sets: Cache
    namespaces: Cache
    jobs: Mapping[str, Cache]

    def all(self) -> tuple[Cache, ...]:
        """Each of them."""
        return (self.deployments, self.replica_sets, self.namespaces, *self.jobs.values())


@dataclass(frozen=True, slots=True)
class Watched:
    """A rollout under watch and all policies that match it.

    `ended`: the longest watch is over, and only a last judgement is sought. `unrecorded`: its start isn't written on
    its ReplicaSet yet. `held`: a hold that will end keeps it under watch, however long ago it started.
    """

    rollout: Rollout
    policies: tuple[Policy, ...]
    ended: bool
    unrecorded: bool
    held: bool = False

    def asks(self, policy: Policy, now: float) -> bool:
        """Say whether the policy's checks are judged now: in its own `watchFor`, under a hold, and at the very last."""
        longer = self.ended or self.held
        return policy in self.policies and (longer or now < self.rollout.started + policy.watch_for)


class _Jobs:
    """One cache of Jobs in order: by the Deployment that each tests, oldest first. Made anew when the cache changes."""

    def __init__(self, cache: Cache, label: str) -> None:
        self._cache, self._label = cache, label
        self._version: int | None = None
        self._tests: dict[tuple[str, str], list[tuple[float, dict[str, Any]]]] = {}

    def since(self, rollout: Rollout) -> list[dict[str, Any]]:
        """The Jobs that test the rollout's Deployment and were created since its start."""
        version = self._cache.version
        if version != self._version:
            self._tests, self._version = self._ordered(), version
        tests = self._tests.get((rollout.namespace, rollout.deployment), ())
        return [job for created, job in tests if created >= rollout.started]

    def _ordered(self) -> dict[tuple[str, str], list[tuple[float, dict[str, Any]]]]:
        tests: dict[tuple[str, str], list[tuple[float, dict[str, Any]]]] = defaultdict(list)
        for job in self._cache.items():
            meta = job["metadata"]
            place = str(meta.get("namespace")), str((meta.get("labels") or {}).get(self._label))
            try:
                tests[place].append((parse_time(str(meta.get("creationTimestamp"))), job))
            except ValueError:
                LOG.warning(
                    "Job %s/%s has no time of creation; it is not read", meta.get("namespace"), meta.get("name")
                )
        for jobs in tests.values():
            jobs.sort(key=lambda pair: pair[0])
        return dict(tests)


class View:
    """Keeps what the caches can't tell: which revision each Deployment had before, and when a change was first seen."""

    def __init__(self, caches: Caches, own_namespace: str) -> None:
        self._caches = caches
        self._own_namespace = own_namespace
        self._jobs = {label: _Jobs(cache, label) for label, cache in caches.jobs.items()}
        self._versions: tuple[int, int] | None = None
        self._looked: float | None = None
        self._history = History((), ())
        self._flaws: set[str] = set()
        self._newest: dict[str, int] = {}
        self._first_seen: dict[tuple[str, int], float] = {}

    def ready(self) -> bool:
        """Whether every cache has been filled once."""
        return all(cache.synced for cache in self._caches.all())

    def under_watch(
        self, policies: Iterable[Policy], now: float, held: frozenset[tuple[str, int]] = frozenset()
    ) -> tuple[Watched, ...]:
        """List the rollouts under watch: from their start for their policies' longest `watchFor`.

        One whose watch has ended and that isn't proven stays for a last judgement, 10 minutes at most. The watch of
        those in `held` (rollouts' keys) doesn't end: a pause, say, puts it off. The daemon's own reverts aren't
        rollouts.
        """
        self._refresh(now)
        every = tuple(policies)
        found = (self._watched(deployment, every, now, held) for deployment in self._history.deployments)
        return tuple(watched for watched in found if watched)

    def newest_revision(self, uid: str) -> int | None:
        """The newest revision of the Deployment with this UID; None where it is gone."""
        return self._newest.get(uid)

    def pause_for(self, rollout: Rollout, now: float) -> Pause | None:
        """Find the pause that holds a rollout: on its Deployment, its Namespace, or the daemon's own."""
        pause = pause_in(rollout.annotations, f"Deployment {rollout.name}", now)
        for name in (rollout.namespace, self._own_namespace):
            if pause is None:
                namespace = self._caches.namespaces.get("", name)
                notes = (namespace or {}).get("metadata", {}).get("annotations") or {}
                scope = (
                    "the whole cluster (Namespace " + name + ")" if name == self._own_namespace else f"Namespace {name}"
                )
                pause = pause_in(notes, scope, now)
        return pause

    def jobs_for(self, rollout: Rollout, label: str) -> list[dict[str, Any]]:
        """List the Jobs that test this rollout's Deployment and were created since its start, oldest first."""
        jobs = self._jobs.get(label)
        return jobs.since(rollout) if jobs else []

    def _refresh(self, now: float) -> None:
        looked, self._looked = self._looked, now
        versions = (self._caches.deployments.version, self._caches.replica_sets.version)
        if versions == self._versions:
            return
        self._history = History(self._caches.deployments.items(), self._caches.replica_sets.items())
        for flaw in set(self._history.unreadable.values()) - self._flaws:
            LOG.warning("%s; its Deployment is not watched", flaw)
        self._flaws = set(self._history.unreadable.values())
        newest: dict[str, int] = {}
        for deployment in self._history.deployments:
            owned = self._history.of(deployment)
            if owned:
                uid, number = str(deployment["metadata"]["uid"]), owned[0][0].number
                newest[uid] = number
                if looked is not None and self._newest.get(uid) != number:
                    self._first_seen[uid, number] = _changed(deployment, looked, now)
        self._first_seen = {key: seen for key, seen in self._first_seen.items() if newest.get(key[0]) == key[1]}
        self._newest, self._versions = newest, versions

    def _watched(
        self, deployment: Mapping[str, Any], policies: tuple[Policy, ...], now: float, held: frozenset[tuple[str, int]]
    ) -> Watched | None:
        owned = self._history.of(deployment)
        if not owned or own_revert(deployment, owned[0][0]):
            return None
        revision = owned[0][0]
        first_seen = self._first_seen.get((str(deployment["metadata"]["uid"]), revision.number))
        rollout = rollout_of(deployment, owned, first_seen)
        mine = policies_for(rollout, policies)
        ends = math.inf if rollout.key in held else watch_ends(rollout, mine)
        if not mine or now >= ends + (0.0 if revision.verdict == "proven" else GRACE):
            return None
        _, unrecorded = start_of(deployment, owned[0][1], first_seen)
        return Watched(rollout, mine, now >= ends, unrecorded, rollout.key in held)


def _changed(deployment: Mapping[str, Any], looked: float, now: float) -> float:
    """Say when a change happened that was found `now` and wasn't there when last `looked`.

    The Deployment's last progress comes nearer than the pass: a smoke test may have been started between the two. It
    is told in whole seconds, as is the creation of Jobs.
    """
    progressed = last_progress(deployment)
    return progressed if progressed is not None and math.floor(looked) <= progressed <= now else now
