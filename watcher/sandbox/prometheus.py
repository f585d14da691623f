"""A real Prometheus for the demo and the tests: finds its program, runs it on loopback, tells it what to scrape.

The program on PATH is taken first, else the one in Debian's package, unpacked into a cache folder of our own: the
package is never installed, so Debian's service never runs.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

FETCH_TIMEOUT = 180.0
START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0
REMEDY = "put the `prometheus` program (https://prometheus.io/download/) on PATH"


class PrometheusMissing(Exception):
    """Prometheus is neither here nor to be had; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where Prometheus's programs are; `promtool` is None where only the server is on PATH."""

    prometheus: Path
    promtool: Path | None


@dataclass(frozen=True, slots=True)
class Target:
    """One address to scrape (`host:port`) and the labels that its series get unless they bring them along."""

    address: str
    labels: Mapping[str, str] = field(default_factory=dict)


def find_programs() -> Programs:
    """Find Prometheus on PATH, else in the cache, else fetch Debian's package into the cache (some 20 MB).

    Raises PrometheusMissing where none of these works.
    """
    on_path = shutil.which("prometheus")
    if on_path:
        promtool = shutil.which("promtool")
        return Programs(Path(on_path), Path(promtool) if promtool else None)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "canary-watch"
    return _cached(cache) or _fetched(cache)


def _cached(cache: Path) -> Programs | None:
    for folder in sorted(cache.glob("prometheus-*"), reverse=True):
        programs = Programs(folder / "prometheus", folder / "promtool")
        if os.access(programs.prometheus, os.X_OK):
            return programs
    return None


def _fetched(cache: Path) -> Programs:
    missing = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise PrometheusMissing(f"no Prometheus on PATH, and no {missing[0]} to fetch Debian's package with: {REMEDY}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "prometheus.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever waited here finds the other's copy
            return _cached(cache) or _unpacked(cache)
    except (OSError, subprocess.SubprocessError) as error:
        raise _no_package(str(error)) from error


def _no_package(why: str) -> PrometheusMissing:
    way_out = f"{REMEDY}, or let apt-get reach a Debian mirror"
    return PrometheusMissing(f"no Prometheus on PATH, and Debian's package can't be had ({why}): {way_out}")


def _unpacked(cache: Path) -> Programs:
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as scratch:
        folder = Path(scratch)
        package = _downloaded(folder)
        complaint = _run(["dpkg-deb", "-x", package.name, "all"], folder)
        if complaint:
            raise _no_package(complaint)
        wanted = folder / "wanted"
        wanted.mkdir()
        for name in ("prometheus", "promtool"):
            (folder / "all" / "usr" / "bin" / name).rename(wanted / name)
        home = cache / f"prometheus-{package.name.split('_')[1]}"
        wanted.rename(home)
    return Programs(home / "prometheus", home / "promtool")


def _downloaded(folder: Path) -> Path:
    """Download Debian's package; where apt doesn't know it yet, as on a fresh machine, update its lists first."""
    # apt warns when it can't drop to its own user for a folder of root's.
    options = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    download = ["apt-get", *options, "download", "prometheus"]
    if _run(download, folder):
        # A failing update is no verdict: one of several mirrors is enough, and the download says whether it was.
        _run(["apt-get", *options, "update"], folder)
        complaint = _run(download, folder)
        if complaint:
            raise _no_package(complaint)
    return next(folder.glob("prometheus_*.deb"))


def _run(command: list[str], folder: Path) -> str:
    """Run `command` in `folder`; return its last complaint if it failed, else an empty text."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT,
        check=False,
    )
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return lines[-1] if done.returncode else ""


class PrometheusServer:
    """A running Prometheus with an empty store, scraping what `set_targets` says; use it as a context manager.

    `scrape_interval`: seconds. The kernel kills the server when the thread that started it ends, however it ends.
    A new target is first scraped 1 to 6 s later: Prometheus looks every 5 s at what discovery found, and has no
    setting for that.
    """

    def __init__(self, programs: Programs, scrape_interval: float = 1.0) -> None:
        self._programs = programs
        self._scrape_interval = scrape_interval
        self._folder = Path(tempfile.mkdtemp(prefix="canary-watch-prometheus-"))
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The base address, without a slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    def set_targets(self, targets: Iterable[Target]) -> None:
        """Scrape exactly `targets` from now on."""
        groups = [{"targets": [one.address], "labels": dict(one.labels)} for one in targets]
        fresh = self._folder / "targets.new"
        fresh.write_text(json.dumps(groups))
        fresh.replace(self._folder / "targets.json")

    def start(self) -> Self:
        """Start and wait until it is ready. Raises RuntimeError with the end of its log where it doesn't get there."""
        self._write_config()
        self.set_targets([])
        for _ in range(3):  # another process may take the free port before Prometheus does
            self._port = _free_port()
            self._process = self._launch()
            if self._becomes_ready():
                return self
            self._end_process()
            if "address already in use" not in self._log_end():
                break
        said = self._log_end()
        self.stop()
        raise RuntimeError(f"Prometheus did not become ready; its log ends:\n{said}")

    def stop(self) -> None:
        """End the server and remove its data; calling it twice is harmless."""
        self._end_process()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _write_config(self) -> None:
        """Write the configuration as JSON, which is YAML too."""
        # Looked at each second, too: a change that comes while discovery only begins to watch the file goes unnoticed.
        found = [{"files": [str(self._folder / "targets.json")], "refresh_interval": "1s"}]
        # A page may name the pods it speaks for itself; a target's own labels are for those that don't.
        pods = {"job_name": "pods", "honor_labels": True, "file_sd_configs": found}
        interval = f"{round(self._scrape_interval * 1000)}ms"
        config = {"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": [pods]}
        (self._folder / "prometheus.yml").write_text(json.dumps(config, indent=2))

    def _launch(self) -> subprocess.Popen[bytes]:
        guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        flags = [
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        with self._log.open("wb") as output:
            return subprocess.Popen(
                [*guard, str(self._programs.prometheus), *flags],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _becomes_ready(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            if self._is_ready():
                return self._process.poll() is None  # else it was another process that answered on this port
            time.sleep(0.05)
        return False

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
        try:
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT)

    def _log_end(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
