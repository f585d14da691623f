"""Who manages a Deployment and who wrote it last: told by the marks that each tool really leaves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.runbook.owners import Owner, last_writer, owner_of, said_writer

Json = dict[str, Any]
TRACKING = "argocd.argoproj.io/tracking-id"
OURS = "apps/Deployment:shop/checkout"
MANAGED_BY = "app.kubernetes.io/managed-by"
HELM_LABEL = {MANAGED_BY: "Helm"}
HELM_NOTES = {"meta.helm.sh/release-name": "checkout", "meta.helm.sh/release-namespace": "shop"}
KUSTOMIZATION = {
    "kustomize.toolkit.fluxcd.io/name": "shop",
    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
}
HELM_RELEASE = {"helm.toolkit.fluxcd.io/name": "checkout", "helm.toolkit.fluxcd.io/namespace": "shop"}
SYNC = "configmanagement.gke.io"


def deployment(labels: Json | None = None, annotations: Json | None = None, **metadata: Any) -> Json:
    """A Deployment shop/checkout with these marks."""
    meta = {"namespace": "shop", "name": "checkout", "labels": labels, "annotations": annotations, **metadata}
    return {"metadata": meta}


def entry(manager: str, time: str | None, part: str = "f:template") -> Json:
    """An entry of managedFields."""
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": {"f:spec": {part: {"f:spec": {}}}}}


@pytest.mark.parametrize(
    ("labels", "annotations", "said"),
    [
        ({}, {TRACKING: f"checkout:{OURS}"}, "Argo CD application `checkout`"),
        ({}, {TRACKING: f"team-a_checkout:{OURS}"}, "Argo CD application `team-a/checkout`"),
        ({"argocd.argoproj.io/instance": "checkout"}, {}, "Argo CD application `checkout`"),
        (KUSTOMIZATION, {}, "Flux Kustomization `flux-system/shop`"),
        ({**HELM_RELEASE, **HELM_LABEL}, HELM_NOTES, "Flux HelmRelease `shop/checkout`"),
        (HELM_LABEL, HELM_NOTES, "Helm release `shop/checkout`"),
        (HELM_LABEL, {}, "`Helm`"),
        ({MANAGED_BY: "Terraform"}, {}, "`Terraform`"),
        ({"kapp.k14s.io/app": "1584558183517217000"}, {}, "kapp app `1584558183517217000`"),
        (
            {MANAGED_BY: "spinnaker"},
            {"moniker.spinnaker.io/application": '"checkout"'},
            "Spinnaker application `checkout`",
        ),
        (
            {
                MANAGED_BY: SYNC,
                f"{SYNC}/sync-kind": "RootSync",
                f"{SYNC}/sync-name": "root-sync",
                f"{SYNC}/sync-namespace": "config-management-system",
            },
            {},
            "Config Sync RootSync `config-management-system/root-sync`",
        ),
        (
            {},
            {f"{SYNC}/managed": "enabled", f"{SYNC}/sync-kind": "RepoSync", f"{SYNC}/sync-name": "repo"},
            "Config Sync RepoSync `repo`",
        ),
        ({MANAGED_BY: SYNC}, {}, "`Config Sync`"),
    ],
)
def test_each_tool_is_known_by_its_marks(labels: Json, annotations: Json, said: str) -> None:
    """The owner is named in the tool's own words."""
    owner = owner_of(deployment(labels, annotations))
    assert owner is not None
    assert owner.said == said


@pytest.mark.parametrize(
    ("labels", "annotations", "kind"),
    [
        (HELM_LABEL, {TRACKING: f"checkout:{OURS}", **HELM_NOTES}, "Argo CD application"),
        ({**KUSTOMIZATION, **HELM_RELEASE}, {}, "Flux HelmRelease"),
        ({**KUSTOMIZATION, **HELM_LABEL}, HELM_NOTES, "Flux Kustomization"),
        ({**KUSTOMIZATION}, {TRACKING: f"checkout:{OURS}"}, "Argo CD application"),
        ({**HELM_LABEL, "kapp.k14s.io/app": "1"}, {}, "kapp app"),
    ],
)
def test_of_several_marks_the_tool_that_decides_is_named(labels: Json, annotations: Json, kind: str) -> None:
    """Helm's marks are on what Argo CD and Flux deploy with it, too: the one who would put it back is meant."""
    owner = owner_of(deployment(labels, annotations))
    assert owner is not None
    assert owner.kind == kind


def test_an_operator_comes_first() -> None:
    """A controller that owns the Deployment manages it, whatever marks its own object has handed on."""
    references = [{"kind": "Other", "name": "x"}, {"kind": "Shop", "name": "checkout", "controller": True}]
    found = owner_of(deployment(KUSTOMIZATION, None, ownerReferences=references))
    assert found == Owner("Shop", "checkout")
    assert found.said == "Shop `checkout`"


@pytest.mark.parametrize(
    ("labels", "annotations"),
    [
        (None, None),
        ({"app.kubernetes.io/instance": "checkout"}, {}),
        ({}, HELM_NOTES),
        ({}, {TRACKING: "checkout:apps/Deployment:shop/another"}),
        ({}, {TRACKING: "checkout"}),
        ({"kustomize.toolkit.fluxcd.io/namespace": "flux-system"}, {}),
    ],
    ids=["nothing", "instance label", "notes without label", "copied tracking id", "no tracking id", "no name"],
)
def test_what_is_not_sure_names_nobody(labels: Json | None, annotations: Json | None) -> None:
    """A mark that another object's copy or any chart may carry accuses nobody."""
    assert owner_of(deployment(labels, annotations)) is None


@pytest.mark.parametrize(
    ("entries", "writer"),
    [
        (None, ""),
        ([], ""),
        ([entry("helm", "2026-11-23T10:00:00Z"), entry("kubectl-edit", "2026-11-23T10:00:01Z")], "kubectl-edit"),
        ([entry("kubectl-edit", "2026-11-23T10:00:01Z"), entry("helm", "2026-11-23T10:00:00Z")], "kubectl-edit"),
        ([entry("helm", "2026-11-23T10:00:00Z"), entry("kubectl-scale", "2026-11-23T11:00:00Z", "f:replicas")], "helm"),
        ([entry("helm", "2026-11-23T10:00:00Z"), entry("canary-watch", "2026-11-23T11:00:00Z")], "helm"),
        ([entry("helm", "2026-11-23T10:00:00Z"), entry("kube-controller-manager", "2026-11-23T11:00:00Z")], "helm"),
        ([entry("helm", None), entry("kubectl-set", "yesterday")], ""),
        ([{"manager": "helm", "time": "2026-11-23T10:00:00Z"}, entry("", "2026-11-23T10:00:00Z")], ""),
    ],
)
def test_the_last_writer_of_the_template(entries: list[Json] | None, writer: str) -> None:
    """The newest entry that holds the template counts, whatever its place; ours and the controller's never."""
    assert last_writer(deployment(managedFields=entries)) == writer


ARGO = Owner("Argo CD application", "checkout")


@pytest.mark.parametrize(
    ("manager", "owner", "said"),
    [
        ("argocd-controller", ARGO, "Argo CD application `checkout`"),
        ("argocd-application-controller", ARGO, "Argo CD application `checkout`"),
        ("kustomize-controller", Owner("Flux Kustomization", "a/b"), "Flux Kustomization `a/b`"),
        ("helm-controller", Owner("Flux HelmRelease", "a/b"), "Flux HelmRelease `a/b`"),
        ("helm", Owner("Helm release", "a/b"), "Helm release `a/b`"),
        ("kubectl-edit", ARGO, "somebody with kubectl (kubectl-edit)"),
        ("kubectl-rollout", None, "somebody with kubectl (kubectl-rollout)"),
        ("helm", ARGO, "`helm`"),
        ("argocd-controller", None, "`argocd-controller`"),
        ("", ARGO, "probably Argo CD application `checkout`"),
        ("", None, "somebody unknown"),
    ],
)
def test_the_writer_in_words(manager: str, owner: Owner | None, said: str) -> None:
    """The owner is accused only where its own controller wrote, or nothing else is known."""
    assert said_writer(deployment(managedFields=[entry(manager, "2026-11-23T10:00:00Z")]), owner) == said


@given(st.text(max_size=400), st.text(max_size=400))
def test_no_mark_makes_a_message_long_or_broken(name: str, manager: str) -> None:
    """Whatever stands in an annotation or a manager's name, what is said stays one line of bounded length."""
    for labels, notes in (({}, {TRACKING: f"{name}:{OURS}"}), ({MANAGED_BY: name}, {}), ({}, HELM_NOTES)):
        marked = deployment(labels, notes, managedFields=[entry(manager, "2026-11-23T10:00:00Z")])
        owner = owner_of(marked)
        for said in (owner.said if owner else "", said_writer(marked, owner)):
            assert len(said) <= 200
            assert len(said.splitlines()) <= 1
            assert said.count("`") in (0, 2)
