"""The manifests: every file that they name is there, what they configure loads, and the rights are those intended."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from watcher import sections, settings
from watcher.policy.loading import load as load_policies

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "base"
MIGRATIONS = ROOT / "deploy" / "components" / "migrations"
SECRETS = "/var/run/secrets/canary-watch/"
KUSTOMIZATIONS = sorted([*(ROOT / "deploy").rglob("kustomization.yaml"), ROOT / "policies" / "Kustomization"])
NEEDS_KUBECTL = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which has kustomize, isn't there")
OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../base]
components: [../components/migrations]
"""


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a manifest."""
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def uncommented(text: str) -> str:
    """A text with what is YAML rather than a sentence taken out of its comments, but for those at its head."""
    head = re.match(r"(#.*\n)*", text)
    start = head.end() if head else 0
    return text[:start] + re.sub(r"^( *)# (?![A-Z])(?= *([\w-]+:( |$)|- ))", r"\1", text[start:], flags=re.MULTILINE)


def rights(path: Path) -> set[str]:
    """What a role allows, as `verb resource`."""
    roles = [one for one in read(path) if one["kind"] in ("Role", "ClusterRole")]
    rules = [rule for role in roles for rule in role["rules"]]
    return {f"{verb} {resource}" for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def built(folder: Path) -> dict[str, dict[str, Any]]:
    """What kustomize makes of a folder, by kind and name (a ConfigMap's less the hash of its content)."""
    line = ["kubectl", "kustomize", str(folder)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    objects = [one for one in yaml.safe_load_all(ended.stdout) if one]
    names = [f"{one['kind']}/{one['metadata']['name']}" for one in objects]
    return dict(
        zip((re.sub(r"(?<=^ConfigMap)(.*)-[a-z0-9]{10}$", r"\1", name) for name in names), objects, strict=True)
    )


@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=lambda file: str(file.parent.relative_to(ROOT)))
def test_every_file_that_a_kustomization_names_is_there(file: Path) -> None:
    """Resources, components, patches and a ConfigMap's files exist, those in comments too, and the objects are YAML."""
    written = yaml.safe_load(uncommented(file.read_text()))
    generated = [name for one in written.get("configMapGenerator", ()) for name in one["files"]]
    patches = [patch["path"] for patch in written.get("patches", ())]
    for name in (*written.get("resources", ()), *written.get("components", ()), *generated, *patches):
        named = file.parent / name
        assert named.exists(), f"{file} names {name}"
        objects = read(named) if named.is_file() and name not in generated else []
        assert all({"apiVersion", "kind", "metadata"} <= one.keys() for one in objects), name


def test_every_manifest_is_named_by_its_kustomization() -> None:
    """No manifest lies about that nothing applies."""
    for folder in (BASE, MIGRATIONS):
        text = (folder / "kustomization.yaml").read_text()
        assert [file.name for file in folder.glob("*.yaml") if file.name not in text] == ["kustomization.yaml"]


def test_the_config_of_the_base_loads_and_goes_with_the_policies() -> None:
    """The config has no mistake, tags every role of the runbook, and names the shipped policies' folder."""
    loaded, mistakes = settings.load(BASE / "config.yaml")
    assert mistakes == ()
    assert loaded is not None
    assert {role for role, contact in loaded.contacts.items() if contact.slack} == set(sections.ROLES)
    policies, wrong = load_policies([ROOT / "policies"])
    assert (wrong, len(policies)) == ((), 3)
    assert settings.check_against(loaded, policies) == ()
    mounts = read(BASE / "deployment.yaml")[0]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert str(loaded.policies) in [mount["mountPath"] for mount in mounts]


def test_every_example_in_the_config_is_right(tmp_path: Path) -> None:
    """Taken out of their comments, the optional keys load as well; each of their files is a documented Secret key."""
    file = tmp_path / "config.yaml"
    file.write_text(uncommented((BASE / "config.yaml").read_text()))
    loaded, mistakes = settings.load(file)
    assert mistakes == ()
    assert loaded is not None
    assert loaded.pagerduty is not None
    assert loaded.pagerduty.service_id is not None
    assert loaded.jira is not None
    assert loaded.jira.issue_type == "Task"
    assert loaded.grafana is not None
    assert loaded.grafana.dashboard is not None
    assert loaded.postmortem == sections.Postmortem()
    documented = (BASE / "deployment.yaml").read_text().partition("apiVersion")[0]
    keys = re.findall(rf"{SECRETS}([\w-]+)", file.read_text())
    assert len(keys) == 7
    assert [key for key in keys if key not in documented] == []


def test_the_daemon_has_the_rights_that_it_uses_and_no_more() -> None:
    """Its own namespace holds its memory; Jobs are made, and outputs read, by the component's rights alone."""
    own = {f"{verb} configmaps" for verb in ("create", "get", "list", "watch", "update", "delete")}
    assert rights(BASE / "role.yaml") == own | {"create leases", "get leases", "update leases"}
    everywhere = rights(BASE / "clusterrole.yaml")
    assert {right for right in everywhere if right.split(" ")[0] not in ("get", "list", "watch")} == {
        "patch deployments",
        "patch replicasets",
    }
    assert rights(MIGRATIONS / "clusterrole.yaml") == {"create jobs", "get jobs", "get pods/log"}
    assert not {right for right in everywhere if "secrets" in right or "pods/log" in right}


@pytest.mark.parametrize("file", [BASE / "role.yaml", BASE / "clusterrole.yaml", MIGRATIONS / "clusterrole.yaml"])
def test_every_verb_has_its_reason_beside_it(file: Path) -> None:
    """Who reviews the rights reads why, verb for verb."""
    verbs = re.findall(r"^  - (\w+)(?: # (.+))?$", file.read_text(), flags=re.MULTILINE)
    assert len(verbs) >= 3
    assert [verb for verb, reason in verbs if not reason] == []


@NEEDS_KUBECTL
def test_the_base_is_built_without_migrations() -> None:
    """Where no policy has migrations, nothing may create a Job."""
    objects = built(BASE)
    assert {"Deployment/canary-watch", "ConfigMap/canary-watch-config", "Role/canary-watch"} <= objects.keys()
    assert "ClusterRole/canary-watch-migrations" not in objects


@NEEDS_KUBECTL
def test_the_component_adds_its_rights_and_the_dsn_files(tmp_path: Path) -> None:
    """With the component, the daemon's account is bound to its role; with its example, a Secret is mounted besides."""
    for name in ("deploy", "policies"):
        shutil.copytree(ROOT / name, tmp_path / name)
    overlay = tmp_path / "deploy" / "mine"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(OVERLAY)
    base = tmp_path / "deploy" / "base" / "kustomization.yaml"
    mine = built(overlay)
    base.write_text(uncommented(base.read_text()))
    assert built(base.parent).keys() == mine.keys()
    component = tmp_path / "deploy" / "components" / "migrations" / "kustomization.yaml"
    component.write_text(component.read_text().replace("# patches:", "patches:").replace("# - path", "- path"))
    objects = built(base.parent)
    binding = objects["ClusterRoleBinding/canary-watch-migrations"]
    assert binding["roleRef"]["name"] == "canary-watch-migrations"
    assert [(one["name"], one["namespace"]) for one in binding["subjects"]] == [("canary-watch", "canary-watch")]
    pod = objects["Deployment/canary-watch"]["spec"]["template"]["spec"]
    assert {one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one} == {
        "canary-watch",
        "canary-watch-databases",
    }
    assert len(pod["containers"][0]["volumeMounts"]) == 4
