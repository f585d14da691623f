"""Starts a real Kubernetes control plane: etcd, kube-apiserver and kube-controller-manager on loopback, no kubelet.

The fixtures in `fixtures.py` and the benchmarks use it. `$KUBEBUILDER_ASSETS` names the folder of the binaries, as
envtest has it. Any version will do: flags that a binary's own `--help` doesn't know are left out.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager")
CONTROLLERS = "deployment,replicaset,garbagecollector,job,serviceaccount,namespace"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 5.0
REQUEST_TIMEOUT = 10.0


def assets_folder() -> Path | None:
    """The folder named by `$KUBEBUILDER_ASSETS` if it holds every binary, else None."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if not named:
        return None
    folder = Path(named)
    return folder if all(os.access(folder / binary, os.X_OK) for binary in BINARIES) else None


def host_address() -> str:
    """An IPv4 address of this host that is not on loopback: the API server's pod proxy refuses loopback pods.

    Connecting a UDP socket sends nothing; it only asks the kernel for the address it would send from. Raises OSError
    where the host has no route at all.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def free_ports(count: int) -> list[int]:
    """Free TCP ports on loopback, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass
class Process:
    """One of the control plane's programs, its output in a log file."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes]

    @classmethod
    def start(cls, binary: Path, flags: Sequence[str], log: Path) -> Process:
        """Start `binary` such that the kernel kills it when the thread that started it ends, however it ends."""
        guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [*guard, str(binary), *flags],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(binary.name, log, popen)

    def stop(self) -> None:
        """Ask it to end, and end it where it doesn't within `STOP_TIMEOUT`."""
        self.popen.terminate()
        try:
            self.popen.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(STOP_TIMEOUT)

    def tail(self) -> str:
        """The end of its log, for an error message."""
        return self.log.read_text(errors="replace")[-2000:]


class RealCluster:
    """A running control plane; use it as a context manager. Everybody who holds `token` is a cluster admin."""

    def __init__(self, assets: Path, users: Mapping[str, Sequence[str]] | None = None) -> None:
        """`users` maps the names of further users to their groups; `tokens` then holds the token of each."""
        self._assets = assets
        self._folder = Path(tempfile.mkdtemp(prefix="canary-watch-controlplane-"))
        self._processes: list[Process] = []
        self._groups = {"admin": ("system:masters",), **{name: tuple(groups) for name, groups in (users or {}).items()}}
        self.tokens = {name: secrets.token_hex(16) for name in self._groups}
        self._etcd_peer, self._etcd_client, self._secure = free_ports(3)
        self.host_address = host_address()

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"https://127.0.0.1:{self._secure}"

    @property
    def token(self) -> str:
        """The admin's bearer token."""
        return self.tokens["admin"]

    @property
    def ca_file(self) -> Path:
        """The certificates that the API server's own certificate is checked against."""
        return self._folder / "certs" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig file."""
        return self._folder / "kubeconfig"

    def __enter__(self) -> RealCluster:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the processes, the last started first, and remove their folder; calling it twice is harmless."""
        while self._processes:
            self._processes.pop().stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def write_kubeconfig(self, path: Path, token: str | None = None, namespace: str = "default") -> Path:
        """Write a kubeconfig for the holder of `token`, the admin if None; JSON, which is YAML too. Returns `path`."""
        server = {"server": self.url, "certificate-authority": str(self.ca_file)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "real",
            "clusters": [{"name": "real", "cluster": server}],
            "users": [{"name": "real", "user": {"token": token or self.token}}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real", "namespace": namespace}}],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=2))
        return path

    def service_account_token(self, namespace: str, name: str) -> str:
        """A token of a ServiceAccount, which is created if it isn't there: RBAC applies to its holder."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        created = self.request("POST", accounts, {"metadata": {"name": name}})
        if created.status_code not in {201, 409}:
            created.raise_for_status()
        answer = self.request("POST", f"{accounts}/{name}/token", {"spec": {"expirationSeconds": 86400}})
        answer.raise_for_status()
        return str(answer.json()["status"]["token"])

    def compact(self) -> None:
        """Let etcd forget everything but the present: `continue` tokens that were handed out before have expired."""
        etcd = f"http://127.0.0.1:{self._etcd_client}/v3/kv"
        key = base64.b64encode(b"/").decode()
        present = requests.post(f"{etcd}/range", json={"key": key}, timeout=REQUEST_TIMEOUT)
        body = {"revision": present.json()["header"]["revision"], "physical": True}
        requests.post(f"{etcd}/compaction", json=body, timeout=REQUEST_TIMEOUT).raise_for_status()

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        """One request as the admin."""
        headers = {"Authorization": f"Bearer {self.token}"}
        address = f"{self.url}{path}"
        return requests.request(
            method, address, json=body, headers=headers, verify=str(self.ca_file), timeout=REQUEST_TIMEOUT
        )

    def _start(self) -> None:
        etcd_url, peer_url = f"http://127.0.0.1:{self._etcd_client}", f"http://127.0.0.1:{self._etcd_peer}"
        self._run(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",
        )
        self._run("kube-apiserver", *self._apiserver_flags(etcd_url))
        self._wait_until_ready()
        self.write_kubeconfig(self.kubeconfig)
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={CONTROLLERS}",
            "--leader-elect=false",
            "--secure-port=0",
            "--port=0",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        )

    def _apiserver_flags(self, etcd_url: str) -> list[str]:
        tokens, key = self._folder / "tokens.csv", self._folder / "service-account.key"
        lines = [f'{token},{user},{user},"{",".join(self._groups[user])}"' for user, token in self.tokens.items()]
        for path, text in ((tokens, "\n".join(lines) + "\n"), (key, elliptic_curve_key())):
            path.touch(mode=0o600)
            path.write_text(text)
        return [
            f"--etcd-servers={etcd_url}",
            f"--cert-dir={self._folder / 'certs'}",
            f"--secure-port={self._secure}",
            "--bind-address=127.0.0.1",
            f"--advertise-address={self.host_address}",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            f"--token-auth-file={tokens}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--disable-admission-plugins=ServiceAccount",
        ]

    def _run(self, name: str, *flags: str) -> None:
        known = known_flags(self._assets / name)
        wanted = [flag for flag in flags if flag.partition("=")[0] in known]
        self._processes.append(Process.start(self._assets / name, wanted, self._folder / f"{name}.log"))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready():
            ended = [one for one in self._processes if one.popen.poll() is not None]
            if ended or time.monotonic() > deadline:
                failed = (ended or self._processes)[-1]
                raise RuntimeError(f"{failed.name} did not become ready; its log ends:\n{failed.tail()}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        if not self.ca_file.exists():
            return False
        try:
            return self.request("GET", "/readyz").ok
        except (requests.RequestException, OSError):
            return False


@functools.cache
def known_flags(binary: Path) -> frozenset[str]:
    """The flags that `binary` knows, from its own help."""
    shown = subprocess.run([str(binary), "--help"], capture_output=True, text=True, timeout=30, check=False)
    return frozenset(re.findall(r"^\s+(?:-\w, )?(--[\w-]+)", shown.stdout + shown.stderr, re.MULTILINE))


def elliptic_curve_key() -> str:
    """A fresh P-256 private key as PEM (SEC 1 without its optional public half), to sign service account tokens with.

    Written out by hand because nothing in the standard library or on every machine generates one.
    """
    scalar = secrets.token_bytes(32)
    prime256v1 = bytes.fromhex("a00a06082a8648ce3d030107")
    body = b"\x02\x01\x01" + b"\x04\x20" + scalar + prime256v1
    encoded = base64.b64encode(b"\x30" + bytes([len(body)]) + body).decode()
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    return "\n".join(["-----BEGIN EC PRIVATE KEY-----", *lines, "-----END EC PRIVATE KEY-----", ""])
