"""Who acts: leader election on one coordination.k8s.io/v1 Lease over `connection`, for daemons that must never be two.

Safe against slow and lost requests, not only dead holders: a holder stops believing before anybody else may begin.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from datetime import UTC, datetime

from watcher.systems.kubernetes.connection import Connection
from watcher.systems.kubernetes.faults import AlreadyExists, Conflict, Json, KubernetesFault, NotFound
from watcher.systems.kubernetes.paths import leases

log = logging.getLogger(__name__)

_RENEWALS = 5  # in one duration
_BELIEVED = 2 / 3  # of the duration after a renewal was sent; the rest is for requests under way and clocks that drift
_STOP = 1.0  # seconds that `stop` may take


class Lease:
    """Tries to hold the Lease `name` in the connection's namespace. All methods may be called from any thread.

    `identity` names this process to people; a random suffix tells it from an earlier life of the same pod. `duration`
    in seconds is how long a holder that fell silent keeps others waiting. Callers ask `leading` before every change
    that they make, with requests shorter than a third of `duration`.
    """

    def __init__(self, connection: Connection, name: str, identity: str, duration: float) -> None:
        self._period = duration / _RENEWALS
        self._connection = connection.within(self._period * 0.9)
        self._path = leases(connection.namespace, name)
        self._collection = leases(connection.namespace)
        self._name = name
        self._duration = duration
        self.identity = f"{identity}_{uuid.uuid4().hex[:8]}"
        self._record: Json | None = None  # the Lease as last read or written
        self._unchanged_since = 0.0  # monotonic: when `_record` was first seen as it is
        self._until = 0.0  # monotonic: leading before this
        self._change = threading.Condition()
        self._stopping = threading.Event()
        self._release = False
        self._thread = threading.Thread(target=self._run, name=f"lease-{name}", daemon=True)
        self.last_error = ""  # why the last attempt failed; empty if it did not
        self.term = 0  # how often leading has begun; whoever keeps something for as long as it leads compares it

    def start(self) -> None:
        """Begin to try, in a thread of its own."""
        self._thread.start()

    def leading(self) -> bool:
        """Whether this process holds the Lease for certain at this moment."""
        return time.monotonic() < self._until

    def wait_leading(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds to become the leader; return whether we are."""
        with self._change:
            return self._change.wait_for(self.leading, timeout)

    @property
    def holder(self) -> str:
        """Who holds the Lease as last seen; empty where nobody does, or nothing was seen yet."""
        record = self._record
        return _holder(record) if record else ""

    def stop(self, release: bool = True) -> None:
        """End leading at once and, with `release`, let another begin without waiting; returns within a second."""
        self._release = release
        with self._change:
            self._stopping.set()
            self._until = 0.0
        if self._thread.is_alive():
            self._thread.join(_STOP)

    def _run(self) -> None:
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                self._attempt()
                self.last_error = ""
            except KubernetesFault as fault:
                self._failed(fault.said)
            except Exception as error:  # a thread that died could never lead again, and nobody would see why
                log.exception("lease %s", self._name)
                self._failed(f"{type(error).__name__} while trying for the lease")
            self._stopping.wait(max(0.0, begun + self._wait() - time.monotonic()))
        if self._release:
            self._give_up()

    def _attempt(self) -> None:
        """Renew what is ours; else look, and take what is free."""
        if self._record is not None and _holder(self._record) == self.identity:
            try:
                return self._write(self._record)
            except (Conflict, NotFound):
                pass  # somebody wrote, or an earlier write of ours that we heard no answer to came through: look
        try:
            record = self._connection.get(self._path)
        except NotFound:
            self._end_leading()  # whoever comes first may have it now
            if self._others_time_is_up():
                self._create()
            return None
        self._see(record)
        if _holder(record) != self.identity:
            self._end_leading()
        if _holder(record) in {"", self.identity} or self._others_time_is_up():
            self._write(record)
        return None

    def _see(self, record: Json) -> None:
        """Remember a record; its time runs by our own clock from the first sight of it: wall clocks may differ."""
        if self._record is None or _version(self._record) != _version(record):
            self._unchanged_since = time.monotonic()
        self._record = record

    def _others_time_is_up(self) -> bool:
        """Whether the record stood unchanged for its own duration; a Lease deleted under its holder has to wait too."""
        record = self._record
        if record is None or _holder(record) in {"", self.identity}:
            return True
        return time.monotonic() >= self._unchanged_since + _seconds(record)

    def _create(self) -> None:
        begun = time.monotonic()
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": self._spec(transitions=0, acquired=_now()),
        }
        try:
            record = self._connection.create(self._collection, body)
        except AlreadyExists:
            return  # another was quicker: look at it next time
        self._lead(record, begun)

    def _write(self, record: Json) -> None:
        """Write ourselves into `record`, guarded by its resourceVersion; raises Conflict where another was quicker."""
        begun = time.monotonic()
        spec = record.get("spec") or {}
        if _holder(record) == self.identity:
            spec = self._spec(transitions=spec.get("leaseTransitions"), acquired=spec.get("acquireTime"))
        else:
            spec = self._spec(transitions=(spec.get("leaseTransitions") or 0) + 1, acquired=_now())
        self._lead(
            self._connection.replace(self._path, {**record, "spec": {**(record.get("spec") or {}), **spec}}), begun
        )

    def _spec(self, *, transitions: object, acquired: object) -> Json:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(
                1, math.ceil(self._duration)
            ),  # an integer by the API: never less than we count on
            "acquireTime": acquired,
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }

    def _lead(self, record: Json, begun: float) -> None:
        """Take an accepted write, sent at `begun`, for what it is worth."""
        self._see(record)
        with self._change:
            if self._stopping.is_set():
                return
            if not self.leading():
                self.term += 1
                log.info("leading: %s holds the lease %s", self.identity, self._name)
            self._until = begun + self._duration * _BELIEVED
            self._change.notify_all()

    def _end_leading(self) -> None:
        if self.leading():
            log.warning("not leading any more: %s holds the lease %s", self.holder or "nobody", self._name)
        self._until = 0.0

    def _wait(self) -> float:
        """Return the seconds between attempts: a period, or until the other's time is up if that is sooner."""
        record = self._record
        if record is None or _holder(record) in {"", self.identity}:
            return self._period
        left = self._unchanged_since + _seconds(record) - time.monotonic()
        return min(self._period, left) if left > 0 else self._period

    def _failed(self, said: str) -> None:
        if said != self.last_error:
            log.warning("lease %s: %s", self._name, said)
        self.last_error = said

    def _give_up(self) -> None:
        """Empty the record if it is ours, so that another need not wait; if that fails, its time runs out."""
        record = self._record
        if record is None or _holder(record) != self.identity:
            return
        spec = {**record["spec"], "holderIdentity": None, "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            self._record = self._connection.within(_STOP).replace(self._path, {**record, "spec": spec})
        except KubernetesFault as fault:
            log.warning("lease %s could not be released: %s", self._name, fault.said)


def _holder(record: Json) -> str:
    spec = record.get("spec")
    return str(spec.get("holderIdentity") or "") if isinstance(spec, dict) else ""


def _seconds(record: Json) -> float:
    """Return the record's own duration, one second at least."""
    asked = record["spec"].get("leaseDurationSeconds")
    return float(max(1, asked)) if isinstance(asked, int) else 1.0


def _version(record: Json) -> str:
    return str(record["metadata"].get("resourceVersion") or "")


def _now() -> str:
    """Return the wall clock as the API's MicroTime: for people, never compared."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
