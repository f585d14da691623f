"""Which cluster, as whom: the `kubernetes` client's Configuration, from the pod's service account or a kubeconfig.

The `type: ignore`s are for the client's `config` package, which is not annotated.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.request import getproxies

import yaml
from kubernetes.client import Configuration
from kubernetes.config import ConfigException, load_incluster_config
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

from watcher.systems.kubernetes.faults import NotConfigured

_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_LOOPBACK = "localhost,127.0.0.0/8,::1"  # never through a proxy, as with kubectl
_UNUSABLE = (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError)


def load(kubeconfig: str | None, context: str | None) -> tuple[Configuration, str]:
    """Find the client's configuration and the daemon's own namespace.

    A kubeconfig or a context that is named wins; else the service account of the pod we run in; else KUBECONFIG, else
    ~/.kube/config. Raises NotConfigured where there is none of them or it can't be used.
    """
    configuration = Configuration(no_proxy=",".join(filter(None, (getproxies().get("no"), _LOOPBACK))))
    if kubeconfig is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        namespace = _service_account(configuration)
    else:
        namespace = _kubeconfig(_files(kubeconfig), context, configuration)
    return configuration, os.environ.get("POD_NAMESPACE", "").strip() or namespace or "default"


def _service_account(configuration: Configuration) -> str:
    """Fill in the service account's credentials (the client re-reads its token); its namespace comes back."""
    try:
        load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        mounted = _SERVICE_ACCOUNT_NAMESPACE
        return mounted.read_text(encoding="utf-8").strip() if mounted.is_file() else ""
    except (ConfigException, OSError, ValueError) as error:
        raise NotConfigured(f"the pod's service account can't be used: {_told(error)}", lasting=True) from None


def _files(kubeconfig: str | None) -> str:
    """Name the kubeconfig file, or several joined as in KUBECONFIG; at least one of them is there."""
    named = kubeconfig or os.environ.get("KUBECONFIG", "")
    paths = [Path(path).expanduser() for path in (named or "~/.kube/config").split(os.pathsep) if path]
    if any(path.is_file() for path in paths):
        return os.pathsep.join(map(str, paths))
    if named:
        raise NotConfigured(f"the kubeconfig {named} is not there", lasting=True)
    raise NotConfigured(
        "no cluster is configured: not in a pod, no --kubeconfig, no KUBECONFIG, no ~/.kube/config", lasting=True
    )


def _kubeconfig(files: str, context: str | None, configuration: Configuration) -> str:
    """Fill in what a kubeconfig's context says; its namespace, if it names one, comes back."""
    try:
        merged = KubeConfigMerger(files).config  # type: ignore[no-untyped-call]
        # Without a base path, files are found relative to the kubeconfig that names them.
        loader = KubeConfigLoader(merged, context, config_base_path=None)  # type: ignore[no-untyped-call]
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
        chosen = loader.current_context["context"]
        user = merged["users"].get_with_name(chosen["user"], safe=True) if chosen.get("user") else None
        if user is not None and user["user"].safe_get("tokenFile"):
            token = Path(user.path or ".").parent / user["user"]["tokenFile"]
            _reread(configuration, token)
        if not getattr(loader, "host", ""):
            raise ConfigException(f"cluster {chosen['cluster']} has no server")
        return str(chosen.get("namespace") or "")
    except _UNUSABLE as error:
        asked = f", context {context}" if context else ""
        raise NotConfigured(f"the kubeconfig {files}{asked} can't be used: {_told(error)}", lasting=True) from None


def _reread(configuration: Configuration, token_file: Path) -> None:
    """Read a kubeconfig's tokenFile at each request, as kubectl does; the client reads it only once."""

    def refresh(of: Configuration) -> None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return  # being replaced: the last token that could be read stands
        if token:
            of.api_key["BearerToken"] = f"Bearer {token}"

    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]


def _told(error: Exception) -> str:
    """Say what is wrong, without what the file holds: the client's messages quote whole entries, tokens and all."""
    if isinstance(error, ConfigException):
        return str(error).partition("\n")[0].partition(" in ")[0]
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"not YAML, line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return f"malformed ({type(error).__name__})"
