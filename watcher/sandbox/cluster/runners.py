"""What stands for a pod's containers: a local process, or a switch of its readiness; `node.py` starts them."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import threading
import time
from typing import Protocol

from watcher.sandbox.cluster.kinds import Object
from watcher.sandbox.cluster.output import Output

STOP_SECONDS = 2.0
PROBE_SECONDS = 0.2
NOT_FOUND = 127
"""The exit code of a shell whose command isn't there."""


class Runner(Protocol):
    """A running pod, as the node sees it. The node asks often: no method but `stop` may wait."""

    def ready(self) -> bool:
        """Whether it takes traffic."""

    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""

    def stop(self) -> None:
        """End it; returns once it has ended."""


class Process:
    """The command of a pod's first container as a local process.

    Its `env` (plain values and `fieldRef`), `args`, `workingDir` and HTTP `readinessProbe` are honoured. Of this
    process's environment only PATH is passed on, for a container sees nothing of a host's. Its whole process group ends
    with it, as everything in a container does. `container` is that container's name, `output` what it has written.
    """

    def __init__(self, pod: Object) -> None:
        container = pod["spec"]["containers"][0]
        self.container = str(container["name"])
        self.output = Output()
        self._ended = threading.Event()
        self._exited: float | None = None
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                [*container.get("command", ()), *container.get("args", ())],
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "HOSTNAME": pod["metadata"]["name"],
                    **_env(pod, container),
                },
                cwd=container.get("workingDir") or "/",
                stdin=subprocess.DEVNULL,
                stdout=self.output.pipe,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, IndexError):
            self._process = None
        self.output.collect()
        probe = container.get("readinessProbe", {}).get("httpGet")
        self._ready = probe is None
        if probe and self._process:
            address = pod["status"]["podIP"], int(_port(container, probe["port"]))
            threading.Thread(target=self._probe, args=(*address, probe.get("path", "/")), daemon=True).start()

    def ready(self) -> bool:
        """Whether it runs and its readiness probe, if it has one, succeeded lately."""
        return self._ready and self.exit_code() is None

    def exit_code(self) -> int | None:
        """Its exit code; 127 for a command that can't be started, 128 and the signal's number if a signal ended it.

        None until its output has been taken in: whoever sees that it has ended can read all that it wrote.
        """
        if self._process is None:
            return NOT_FOUND
        code = self._process.poll()
        if code is None:
            return None
        if self._exited is None:
            self._exited = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        if not self.output.whole and time.monotonic() < self._exited + STOP_SECONDS:
            return None
        return 128 - code if code < 0 else code

    def stop(self) -> None:
        """End it, with SIGTERM first and SIGKILL after `STOP_SECONDS`."""
        self._ended.set()
        if self._process is None or self._exited is not None:  # by now its number may be another's
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(STOP_SECONDS)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait(STOP_SECONDS)

    def _probe(self, host: str, port: int, path: str) -> None:
        while not self._ended.wait(PROBE_SECONDS):
            connection = http.client.HTTPConnection(host, port, timeout=1.0)
            try:
                connection.request("GET", path)
                self._ready = connection.getresponse().status < http.client.BAD_REQUEST
            except (OSError, http.client.HTTPException):
                self._ready = False
            finally:
                connection.close()


class Switches:
    """Pods without processes: `run` starts one, `set_ready` switches the readiness of all that run an image."""

    def __init__(self) -> None:
        self._unready: set[str] = set()

    def set_ready(self, image: str, ready: bool) -> None:
        """Let pods whose first container has `image`, present and future ones, be ready or not; untold, they are."""
        if ready:
            self._unready.discard(image)
        else:
            self._unready.add(image)

    def run(self, pod: Object) -> Runner:
        """Start a pod, as `Node` wants it."""
        return _Switch(self._unready, pod["spec"]["containers"][0]["image"])


class _Switch:
    def __init__(self, unready: set[str], image: str) -> None:
        self._unready = unready
        self._image = image

    def ready(self) -> bool:
        """Whether its image is switched to ready."""
        return self._image not in self._unready

    def exit_code(self) -> int | None:
        """None: it never ends by itself."""
        return None

    def stop(self) -> None:
        """There is nothing to end."""


def _env(pod: Object, container: Object) -> dict[str, str]:
    fields = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": pod["metadata"]["namespace"],
        "status.podIP": pod["status"].get("podIP", ""),
    }
    variables = {"PATH": os.environ.get("PATH", os.defpath), "HOSTNAME": fields["metadata.name"]}
    for one in container.get("env", ()):
        field = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        variables[one["name"]] = fields[field] if field else one.get("value", "")
    return variables


def _port(container: Object, port: int | str) -> int:
    named = {one.get("name"): one["containerPort"] for one in container.get("ports", ())}
    return int(port if isinstance(port, int) else named.get(port, 0))
