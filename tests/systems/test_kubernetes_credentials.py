"""Which cluster the connection takes, as whom, and what is said where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.systems.canned_api import CannedApi
from tests.systems.scripted_api import TOKEN
from watcher.systems import kubernetes as k8s
from watcher.systems.kubernetes import Connection


@pytest.fixture
def api() -> Iterator[CannedApi]:
    """Start an API server with canned answers."""
    with CannedApi() as canned:
        yield canned


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Set the process outside of any cluster, with an empty home."""
    for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "POD_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def kubeconfig(path: Path, server: str, user: dict[str, Any] | None = None) -> Path:
    """Write a kubeconfig of two contexts."""
    contexts = [
        {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team-one"}},
        {"name": "two", "context": {"cluster": "c", "user": "u"}},
    ]
    body = {
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user or {"token": TOKEN}}],
        "contexts": contexts,
    }
    path.write_text(json.dumps(body))
    return path


def test_configured_by_flag_by_variable_and_at_home(outside: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A named kubeconfig is taken, else KUBECONFIG, else the one at home; the context gives the namespace."""
    path = kubeconfig(tmp_path / "config.yaml", "https://u:pw@api.example:6443/k")
    assert Connection.open(str(path)).namespace == "team-one"
    assert Connection.open(str(path)).server == "https://api.example:6443/k"
    assert Connection.open(str(path), "two").namespace == "default"
    outside.setenv("KUBECONFIG", f"/not/there:{path}")
    assert Connection.open().namespace == "team-one"
    outside.setenv("POD_NAMESPACE", "by-variable")
    assert Connection.open().namespace == "by-variable"
    outside.delenv("KUBECONFIG")
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", "http://127.0.0.1:1")
    assert Connection.open().server == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("content", "context", "said"),
    [
        (None, None, "is not there"),
        ("a: [b\n", None, "line 2, column 1"),
        (f"users: {TOKEN}\n", None, "can't be used"),
        ("", None, "is empty"),
        ("[]", None, "can't be used"),
        ("good", "three", "three"),
        ('{"current-context": "x"}', None, "x"),
        (
            (
                f'{{"current-context": "c", "users": [{{"name": "u", "token": "{TOKEN}"}}],'
                '"clusters": [{"name": "k"}],'
                '"contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}]}'
            ),
            None,
            "can't be used",
        ),
        (
            (
                f'{{"current-context": "c", "clusters": [{{"name": "k", "cluster": {{"x": "{TOKEN}"}}}}],'
                '"contexts": [{"name": "c", "context": {"cluster": "k"}}]}'
            ),
            None,
            "server",
        ),
    ],
)
def test_a_kubeconfig_that_is_wrong(
    outside: pytest.MonkeyPatch, tmp_path: Path, content: str | None, context: str | None, said: str
) -> None:
    """Each way to be misconfigured is told in one line that names the file and gives nothing of its secrets."""
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(kubeconfig(path, "http://x").read_text() if content == "good" else content)
    with pytest.raises(k8s.NotConfigured) as raised:
        Connection.open(str(path), context)
    told = raised.value.said
    assert said in told
    assert str(path) in told
    assert TOKEN not in told
    assert "\n" not in told


def test_nothing_configured(outside: pytest.MonkeyPatch) -> None:
    """Without any configuration the message says where it was looked for."""
    with pytest.raises(k8s.NotConfigured, match=r"--kubeconfig.*KUBECONFIG.*~/.kube/config"):
        Connection.open()


def test_in_a_pod_without_its_files(outside: pytest.MonkeyPatch) -> None:
    """In a pod the service account comes first, and its lack is told; a kubeconfig that is named still wins."""
    outside.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    outside.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(k8s.NotConfigured, match="service account"):
        Connection.open()
    with pytest.raises(k8s.NotConfigured, match="/not/there"):
        Connection.open("/not/there")


def test_a_token_file_is_read_again(outside: pytest.MonkeyPatch, tmp_path: Path, api: CannedApi) -> None:
    """A token that is rotated is used from the next request on, with or without a newline at its end."""
    token = tmp_path / "token"
    token.write_text("first\n")
    path = kubeconfig(tmp_path / "config.yaml", api.url, {"tokenFile": "token"})
    connection = Connection.open(str(path))
    connection.get(k8s.config_maps("shop", "a"))
    token.write_text("second")
    connection.get(k8s.config_maps("shop", "a"))
    token.unlink()
    connection.get(k8s.config_maps("shop", "a"))
    sent = [request.headers["Authorization"] for request in api.requests]
    assert sent == ["Bearer first", "Bearer second", "Bearer second"]
