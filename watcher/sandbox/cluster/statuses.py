"""The pod statuses that the node writes, as a kubelet words them."""

from __future__ import annotations

import time

from watcher.sandbox.cluster.api import timestamp
from watcher.sandbox.cluster.kinds import Object


def running_status(pod: Object, started: str, *, ready: bool, restarts: int) -> Object:
    """Of a pod that runs; `started` is a Kubernetes timestamp."""
    state = {"running": {"startedAt": started}}
    return {
        "phase": "Running",
        "hostIP": pod["status"]["podIP"],
        "podIP": pod["status"]["podIP"],
        "podIPs": [{"ip": pod["status"]["podIP"]}],
        "startTime": started,
        "conditions": _conditions(ready=ready),
        "containerStatuses": [_container(one, state, ready, restarts) for one in pod["spec"]["containers"]],
    }


def ended_status(pod: Object, code: int, started: float) -> Object:
    """Of a pod that has ended for good."""
    state = {"terminated": _terminated(code, started)}
    return {
        "phase": "Failed" if code else "Succeeded",
        "podIP": pod["status"]["podIP"],
        "podIPs": [{"ip": pod["status"]["podIP"]}],
        "conditions": _conditions(ready=False),
        "containerStatuses": [_container(one, state, False, 0) for one in pod["spec"]["containers"]],
    }


def waiting_status(pod: Object, code: int, restarts: int) -> Object:
    """Of a pod that has ended and waits to be restarted."""
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "restarting the failed container"}}
    last = {"lastState": {"terminated": _terminated(code, time.time())}}
    return {
        "phase": "Running",
        "conditions": _conditions(ready=False),
        "containerStatuses": [{**_container(one, state, False, restarts), **last} for one in pod["spec"]["containers"]],
    }


def _terminated(code: int, started: float) -> Object:
    ended = timestamp(time.time())
    reason = "Error" if code else "Completed"
    return {"exitCode": code, "reason": reason, "startedAt": timestamp(started), "finishedAt": ended}


def _container(container: Object, state: Object, ready: bool, restarts: int) -> Object:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"sandbox://{container['image']}",
        "ready": ready,
        "started": "running" in state,
        "restartCount": restarts,
        "state": state,
    }


def _conditions(*, ready: bool) -> list[Object]:
    now = timestamp(time.time())
    states = {"Initialized": True, "Ready": ready, "ContainersReady": ready, "PodScheduled": True}
    return [
        {"type": kind, "status": str(state), "lastProbeTime": None, "lastTransitionTime": now}
        for kind, state in states.items()
    ]
