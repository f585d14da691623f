"""A node: plays the kubelet against any API server, embedded or real, over HTTP; `runners.py` has what it runs."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from watcher.sandbox.cluster.api import timestamp
from watcher.sandbox.cluster.client import Refused
from watcher.sandbox.cluster.kinds import Object
from watcher.sandbox.cluster.kubelet import Kubelet
from watcher.sandbox.cluster.runners import Process, Runner
from watcher.sandbox.cluster.statuses import ended_status, running_status, waiting_status

Run = Callable[[Object], Runner]

TICK_SECONDS = 0.025
WATCH_SECONDS = 8
PAUSE_SECONDS = 0.2
RESTART_SECONDS = 1.0


def loopback_addresses() -> Iterator[str]:
    """Addresses on loopback, a fresh one each time, so that pods can share a port; another process begins elsewhere."""
    start = os.getpid() * 256
    for number in itertools.count(start):
        yield f"127.{64 + number // 64516 % 64}.{number // 254 % 254}.{number % 254 + 1}"


class Api(Protocol):
    """What a node asks of an API server, as `Client` does it. Refusals are `Refused`, silence is an OSError."""

    def get(self, path: str) -> Object:
        """The document at `path`."""

    def create(self, path: str, body: Object) -> Object:
        """POST an object."""

    def merge(self, path: str, change: Object) -> Object:
        """PATCH with a merge patch."""

    def delete(self, path: str, options: Object) -> Object:
        """DELETE with `DeleteOptions`."""

    def watch(self, path: str) -> Iterator[Object]:
        """The events of the watch at `path`, until the server ends it."""

    def drop_kept(self) -> None:
        """Close the connection that is kept for the calling thread."""

    def close(self) -> None:
        """Close every connection."""


@dataclass
class _Pod:
    """A pod on the node; `runner` is None while it waits to be restarted, `last` is the one before."""

    item: Object
    runner: Runner | None
    started: float
    ready: bool = False
    restarts: int = 0
    last: Runner | None = None
    over: bool = False


class Node:
    """Runs the pods of a namespace ("" for all): those of Jobs as local processes, the others as `run` says.

    `run` gets the pod with its `status.podIP`, the next of `addresses`. The real API server's pod proxy reaches no
    loopback address; there, give it the host's own. The client is the node's: it closes it at its end.
    Its `name` is its own: several may run at once. It is registered as a Node object while it runs, with a kubelet's
    port at which API servers get its pods' logs: those of processes, "" of the others.
    Without `binds`, pods run without being bound, and there is no Node object and no log: a cluster with real nodes
    deletes the pods bound to one that it doesn't know, and would send its own pods to one that it does.
    """

    def __init__(
        self,
        client: Api,
        run: Run,
        namespace: str = "",
        addresses: Iterator[str] | None = None,
        *,
        binds: bool = True,
    ) -> None:
        self._binds = binds
        self.name = f"node-{secrets.token_hex(4)}"
        self._client = client
        self._run = run
        self._pods_path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
        self._addresses = addresses or loopback_addresses()
        self._events: queue.SimpleQueue[tuple[str, Object]] = queue.SimpleQueue()
        self._pods: dict[str, _Pod] = {}
        self._ended = threading.Event()
        self._helpers: list[threading.Thread] = []
        self._kubelet: Kubelet | None = None
        self._registering = threading.Lock()
        self._registered = False
        self._threads = [
            threading.Thread(target=loop, name=f"{self.name}-{loop.__name__}", daemon=True)
            for loop in (self._follow, self._work)
        ]

    def __enter__(self) -> Node:
        if self._binds:
            self._kubelet = Kubelet(self._log)
            self._kubelet.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._ended.set()
        with self._registering, contextlib.suppress(OSError, Refused):
            if self._registered:
                self._client.delete(f"/api/v1/nodes/{self.name}", {})
        self._client.close()
        for thread in [*self._threads, *self._helpers]:
            thread.join(timeout=10)
        for pod in self._pods.values():
            if pod.runner:
                pod.runner.stop()
        if self._kubelet:
            self._kubelet.stop()

    def _register(self) -> None:
        """Create the Node object. Where that is refused pods run all the same, and nobody can read their logs."""
        with self._registering:
            if self._kubelet and not self._registered and not self._ended.is_set():
                try:
                    self._client.create("/api/v1/nodes", self._kubelet.node(self.name))
                except Refused as refused:
                    if not 400 <= refused.code < 500:
                        raise
                self._registered = True

    def _log(self, namespace: str, name: str, container: str) -> bytes | None:
        """What the kubelet gives: a container's log, None for a pod that the node doesn't know."""
        for pod in list(self._pods.values()):
            if (pod.item["metadata"]["namespace"], _name(pod.item)) == (namespace, name):
                runner = pod.runner or pod.last
                if isinstance(runner, Process) and runner.container == container:
                    return runner.output.text()
                return b""
        return None

    def _follow(self) -> None:
        """Turn the API server's pods into events, for as long as the node runs."""
        while not self._ended.is_set():
            try:
                self._register()
                listed = self._client.get(self._pods_path)
                self._events.put(("LIST", listed))
                version = listed["metadata"]["resourceVersion"]
                while version and not self._ended.is_set():
                    version = self._watch(version)
            except (OSError, Refused):
                self._ended.wait(PAUSE_SECONDS)
        self._client.drop_kept()

    def _watch(self, version: str) -> str:
        """Follow one watch; returns the resourceVersion to go on from, "" to list again."""
        query = f"?watch=1&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}&allowWatchBookmarks=true"
        for event in self._client.watch(self._pods_path + query):
            if event["type"] == "ERROR":
                return ""
            version = event["object"]["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self._events.put((event["type"], event["object"]))
            if self._ended.is_set():
                break
        return version

    def _work(self) -> None:
        """Carry out events, and look at every pod in between."""
        while not self._ended.is_set():
            try:
                self._take(*self._events.get(timeout=TICK_SECONDS))
                while True:
                    self._take(*self._events.get_nowait())
            except queue.Empty:
                pass
            for pod in list(self._pods.values()):
                self._safely(self._look_at, pod)
        self._client.drop_kept()

    def _take(self, event: str, item: Object) -> None:
        if event == "LIST":
            present = {one["metadata"]["uid"] for one in item["items"]}
            for uid in self._pods.keys() - present:
                self._end(self._pods.pop(uid))
            for one in item["items"]:
                self._safely(self._accept, one)
        elif event == "DELETED":
            if pod := self._pods.pop(item["metadata"]["uid"], None):
                self._end(pod)
        else:
            self._safely(self._accept, item)

    def _safely(self, action: Callable[..., object], *arguments: object) -> None:
        """Do something that the API server may refuse; the next event or tick brings it up again."""
        try:
            action(*arguments)
        except (OSError, Refused):
            return

    def _accept(self, item: Object) -> None:
        """Start a new pod, or end one that is being deleted."""
        uid = item["metadata"]["uid"]
        if item["spec"].get("nodeName", self.name) != self.name:
            return
        if "deletionTimestamp" in item["metadata"]:
            pod = self._pods.pop(uid, None)
            self._help(lambda: self._terminate(item, pod))
        elif uid not in self._pods and item["status"].get("phase") not in {"Succeeded", "Failed"}:
            if self._binds and "nodeName" not in item["spec"]:
                target = {"apiVersion": "v1", "kind": "Node", "name": self.name}
                self._client.create(f"{_path(item)}/binding", {"metadata": {"name": _name(item)}, "target": target})
            address = item["status"].get("podIP") or next(self._addresses)
            located = {**item, "status": {**item["status"], "podIP": address}}
            self._pods[uid] = _Pod(located, self._start(located), time.time())
            self._report(self._pods[uid])

    def _start(self, item: Object) -> Runner:
        return Process(item) if item["spec"]["restartPolicy"] != "Always" else self._run(item)

    def _look_at(self, pod: _Pod) -> None:
        """Report what has changed about a pod since the last look, and restart it when it is time."""
        if pod.over:
            return
        if pod.runner is None:
            if time.time() >= pod.started + RESTART_SECONDS:
                pod.runner, pod.started = self._start(pod.item), time.time()
                self._report(pod)
            return
        code = pod.runner.exit_code()
        if code is None:
            if pod.runner.ready() != pod.ready:
                self._report(pod)
        elif pod.item["spec"]["restartPolicy"] == "Never" or (
            code == 0 and pod.item["spec"]["restartPolicy"] == "OnFailure"
        ):
            self._client.merge(f"{_path(pod.item)}/status", {"status": ended_status(pod.item, code, pod.started)})
            pod.over = True
        else:
            pod.last, pod.runner, pod.started, pod.ready = pod.runner, None, time.time(), False
            pod.restarts += 1
            self._client.merge(f"{_path(pod.item)}/status", {"status": waiting_status(pod.item, code, pod.restarts)})

    def _report(self, pod: _Pod) -> None:
        """Write a running pod's status, with its readiness of this moment."""
        ready = pod.runner is not None and pod.runner.ready()
        status = running_status(pod.item, timestamp(pod.started), ready=ready, restarts=pod.restarts)
        self._client.merge(f"{_path(pod.item)}/status", {"status": status})
        pod.ready = ready

    def _terminate(self, item: Object, pod: _Pod | None) -> None:
        """End a pod that is being deleted, and tell the API server that it has ended."""
        if pod and pod.runner:
            pod.runner.stop()
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": item["metadata"]["uid"]}}
        self._safely(self._client.delete, _path(item), options)
        self._client.drop_kept()

    def _end(self, pod: _Pod) -> None:
        if pod.runner:
            self._help(pod.runner.stop)

    def _help(self, action: Callable[[], None]) -> None:
        """Do what may take a moment on a thread of its own, so that the other pods needn't wait."""
        self._helpers = [thread for thread in self._helpers if thread.is_alive()]
        self._helpers.append(threading.Thread(target=action, daemon=True))
        self._helpers[-1].start()


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _path(item: Object) -> str:
    return f"/api/v1/namespaces/{item['metadata']['namespace']}/pods/{_name(item)}"
