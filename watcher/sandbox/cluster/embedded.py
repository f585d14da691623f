"""The embedded cluster as a whole: store, API server and controllers, started and stopped together."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from watcher.sandbox.cluster.api import Api
from watcher.sandbox.cluster.controllers import Controllers
from watcher.sandbox.cluster.kinds import NAMESPACE
from watcher.sandbox.cluster.server import Received, Server
from watcher.sandbox.cluster.store import Store

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class EmbeddedCluster:
    """A Kubernetes API server in this process, on a free loopback port, without TLS and for whoever asks.

    Use it as a context manager. It has no node: `node.py` plays one.
    """

    token = "embedded"
    """Any bearer token will do; this one is in the kubeconfig."""

    def __init__(self) -> None:
        self._store = Store()
        api = Api(self._store)
        for name in NAMESPACES:
            api.create(NAMESPACE, "", {"metadata": {"name": name}})
        self._store.compact()
        self._server = Server(api)
        self._controllers = Controllers(api)
        self._serving = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="embedded-apiserver", daemon=True
        )

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def requests(self) -> Sequence[Received]:
        """The latest requests, the oldest first."""
        return tuple(self._server.requests)

    def __enter__(self) -> EmbeddedCluster:
        self._serving.start()
        self._controllers.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._controllers.stop()
        self._server.shutdown()
        self._server.cut(watches_only=False)
        self._server.server_close()
        self._serving.join(timeout=5)

    def write_kubeconfig(self, path: Path, namespace: str = "default") -> Path:
        """Write a kubeconfig (JSON, which is YAML too) that names this cluster; returns `path`."""
        context = {"cluster": "embedded", "user": "embedded", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "embedded",
            "clusters": [{"name": "embedded", "cluster": {"server": self.url}}],
            "users": [{"name": "embedded", "user": {"token": self.token}}],
            "contexts": [{"name": "embedded", "context": context}],
        }
        path.write_text(json.dumps(config, indent=2))
        return path

    def compact(self) -> None:
        """Forget the history: watches and `continue` tokens from before answer 410."""
        self._store.compact()

    def drop_watches(self) -> None:
        """Cut the connections of all watches, as a restart of a real API server does."""
        self._server.cut(watches_only=True)
