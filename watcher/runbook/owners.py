"""Who else manages a Deployment, and who wrote its pod template last: pure readings of its raw JSON.

The confirm step names the owner before a revert, the verify step whoever has put the bad template back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from watcher.judgement.rollouts import parse_time

ARGO_CD = "Argo CD application"
FLUX_KUSTOMIZATION = "Flux Kustomization"
FLUX_HELM_RELEASE = "Flux HelmRelease"
HELM = "Helm release"
KAPP = "kapp app"
MANAGED_BY = "app.kubernetes.io/managed-by"

LONGEST_NAME = 120
"""Characters of a name in a message: a label has 63, an annotation may have 256 KiB."""

# The names under which an owner's own controller writes; a chart's user may have any other.
_MANAGERS = {
    ARGO_CD: {"argocd-controller", "argocd-application-controller"},
    FLUX_KUSTOMIZATION: {"kustomize-controller"},
    FLUX_HELM_RELEASE: {"helm-controller"},
    HELM: {"helm"},
    KAPP: {"kapp"},
}
_NOT_ASKED = {"canary-watch", "kube-controller-manager"}

Notes = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Owner:
    """Who puts the Deployment's template back to what it has: `kind` is the tool's own word for what `name` names.

    `kind` is empty where only the tool's name is known. Names are one line of bounded length, but not escaped.
    """

    kind: str
    name: str

    @property
    def said(self) -> str:
        """In words: Flux Kustomization `flux-system/shop`."""
        return f"{self.kind} `{self.name}`".lstrip()


def owner_of(deployment: Mapping[str, Any]) -> Owner | None:
    """Recognise who manages a Deployment; None where nothing tells.

    An object's controller counts most, then whoever stands furthest from the cluster: Argo CD or Flux deploy charts,
    which carry Helm's marks as well. Rancher Fleet and werf deploy Helm releases and are named as such.
    """
    meta = deployment["metadata"]
    controller = next((ref for ref in meta.get("ownerReferences") or [] if ref.get("controller")), None)
    if controller is not None:
        return Owner(_line(str(controller.get("kind", ""))), _line(str(controller.get("name", ""))))
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    found = _argo_cd(meta, labels, notes)
    return found or next((owner for owner in (read(labels, notes) for read in _READINGS) if owner), None)


def last_writer(deployment: Mapping[str, Any]) -> str:
    """Name the field manager that changed the pod template last; empty where that can't be told.

    Left out are this daemon and the Deployment controller. As near as Kubernetes tells: an entry's time is that of its
    manager's last change to any of its fields (https://kubernetes.io/docs/reference/using-api/server-side-apply/).
    """
    newest, writer = float("-inf"), ""
    for entry in deployment["metadata"].get("managedFields") or []:
        spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        manager = str(entry.get("manager") or "")
        if "f:template" not in spec or not manager or manager in _NOT_ASKED:
            continue
        try:
            moment = parse_time(str(entry.get("time")))
        except ValueError:
            continue
        if moment >= newest:
            newest, writer = moment, manager
    return _line(writer)


def said_writer(deployment: Mapping[str, Any], owner: Owner | None) -> str:
    """Say who wrote the pod template last, in words for a sentence: "put back by ..."."""
    manager = last_writer(deployment)
    if not manager:
        return f"probably {owner.said}" if owner else "somebody unknown"
    if owner and manager in _MANAGERS.get(owner.kind, ()):
        return owner.said
    if manager.startswith("kubectl"):
        return f"somebody with kubectl ({manager})"  # a person, or CI
    return f"`{manager}`"


def _argo_cd(meta: Mapping[str, Any], labels: Notes, notes: Notes) -> Owner | None:
    """https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/: application:group/kind:namespace/name.

    One that names another object was copied, and counts for nothing there either. An application outside Argo CD's own
    namespace is namespace_name. `app.kubernetes.io/instance`, the default label of old, is on too many charts to tell.
    """
    application, _, tracked = notes.get("argocd.argoproj.io/tracking-id", "").partition(":")
    if not application or tracked != f"apps/Deployment:{meta.get('namespace')}/{meta.get('name')}":
        application = labels.get("argocd.argoproj.io/instance", "")
    return Owner(ARGO_CD, _line(application.replace("_", "/", 1))) if application else None


def _flux(kind: str, prefix: str) -> Callable[[Notes, Notes], Owner | None]:
    """https://fluxcd.io/flux/components/: either controller labels what it applies with its own object's name."""

    def read(labels: Notes, notes: Notes) -> Owner | None:
        return _named(kind, labels.get(f"{prefix}/namespace"), labels.get(f"{prefix}/name"))

    return read


def _config_sync(labels: Notes, notes: Notes) -> Owner | None:
    """https://cloud.google.com/kubernetes-engine/config-sync/docs/reference/labels-and-annotations."""
    prefix = "configmanagement.gke.io"
    if labels.get(MANAGED_BY) != prefix and notes.get(f"{prefix}/managed") != "enabled":
        return None
    marks = {**notes, **labels}  # earlier versions wrote them as annotations
    kind = _line(f"Config Sync {marks.get(f'{prefix}/sync-kind', '')}")
    return _named(kind, marks.get(f"{prefix}/sync-namespace"), marks.get(f"{prefix}/sync-name")) or Owner(
        "", "Config Sync"
    )


def _spinnaker(labels: Notes, notes: Notes) -> Owner | None:
    """https://spinnaker.io/docs/reference/providers/kubernetes-v2/#reserved-annotations; the value may be quoted."""
    return _named("Spinnaker application", None, notes.get("moniker.spinnaker.io/application", "").strip('"'))


def _kapp(labels: Notes, notes: Notes) -> Owner | None:
    """https://carvel.dev/kapp/docs/latest/apply/: the label's value is what `kapp` finds the app by."""
    return _named(KAPP, None, labels.get("kapp.k14s.io/app"))


def _helm(labels: Notes, notes: Notes) -> Owner | None:
    """`helm install` demands the label and both annotations before it adopts an object (its pkg/action/validate.go).

    The label alone is on what `helm template` wrote, too.
    """
    if labels.get(MANAGED_BY) != "Helm":
        return None
    return _named(HELM, notes.get("meta.helm.sh/release-namespace"), notes.get("meta.helm.sh/release-name"))


def _managed_by(labels: Notes, notes: Notes) -> Owner | None:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/: the tool, as it is written."""
    return _named("", None, labels.get(MANAGED_BY))


_READINGS: tuple[Callable[[Notes, Notes], Owner | None], ...] = (
    _flux(FLUX_HELM_RELEASE, "helm.toolkit.fluxcd.io"),
    _flux(FLUX_KUSTOMIZATION, "kustomize.toolkit.fluxcd.io"),
    _config_sync,
    _spinnaker,
    _kapp,
    _helm,
    _managed_by,
)


def _named(kind: str, namespace: str | None, name: str | None) -> Owner | None:
    return Owner(kind, _line(f"{namespace}/{name}" if namespace else name)) if name else None


def _line(text: str) -> str:
    """Put a name on one line of bounded length that can stand between backticks."""
    line = re.sub(r"\s+", " ", text[: 2 * LONGEST_NAME].replace("`", "'")).strip()
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"
