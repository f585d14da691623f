"""`pause` and `resume` against a cluster: what they write, what they say, and all that they leave alone."""

from __future__ import annotations

import copy
import time
from datetime import UTC, datetime
from typing import Any

from tests.commands.world import World
from tests.controlplane.manifests import deployment

PAUSE, REASON = "canary-watch.io/pause", "canary-watch.io/pause-reason"


def notes(world: World) -> dict[str, str]:
    """The Deployment's annotations of canary-watch."""
    found: dict[str, str] = world.bed.deployment("checkout")["metadata"].get("annotations", {})
    return {key: value for key, value in found.items() if key.startswith("canary-watch.io/")}


def without_pause(found: dict[str, Any]) -> dict[str, Any]:
    """A Deployment less the pause, its status, and what the API server counts."""
    left = copy.deepcopy(found)
    del left["status"]
    for key in ("resourceVersion", "managedFields", "generation"):  # an annotation moves a Deployment's generation too
        left["metadata"].pop(key, None)
    for key in (PAUSE, REASON):
        left["metadata"].get("annotations", {}).pop(key, None)
    return left


def test_a_pause_comes_and_goes(world: World) -> None:
    """A pause is written with its time and reason, replaced by the next one, and taken off; nothing else changes."""
    kept = {"metadata": {"annotations": {"example.com/owner": "shop", "canary-watch.io/slo-p99": "300ms"}}}
    world.bed.http.create(world.bed.path("deployments"), deployment("checkout", "shop:1"))
    world.bed.http.change(world.bed.path("deployments", "checkout"), kept)
    before = world.bed.settled("checkout")
    subject = f"{world.bed.namespace}/checkout"
    first = world.call("pause", subject, "--for", "2h", "--reason", "load test", configured=False)
    until = datetime.strptime(notes(world)[PAUSE], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    assert abs(until - time.time() - 7200) < 60
    assert notes(world)[REASON] == "load test"
    said = f"paused on Deployment {subject} until {notes(world)[PAUSE]} (load test)\n"
    assert (first.code, first.out, first.err) == (0, said, "")
    again = world.call("pause", subject, configured=False)
    assert notes(world) == {PAUSE: "true", "canary-watch.io/slo-p99": "300ms"}
    assert again.out == f"paused on Deployment {subject} until the annotation is removed\n"
    assert without_pause(world.bed.deployment("checkout")) == without_pause(before)
    resumed = world.call("resume", subject, configured=False)
    assert (resumed.code, resumed.out, resumed.err) == (0, f"{subject} is resumed\n", "")
    assert without_pause(world.bed.deployment("checkout")) == without_pause(before)
    assert notes(world) == {"canary-watch.io/slo-p99": "300ms"}
    writes = len(world.writes())
    resumed = world.call("resume", subject, configured=False)
    assert (resumed.code, resumed.out, resumed.err) == (0, f"{subject} was not paused\n", "")
    assert world.writes() == {f"PATCH {world.bed.path('deployments', 'checkout')}"}
    assert len(world.writes()) == writes


def test_a_deployment_that_isnt_there_is_one_line(world: World) -> None:
    """A mistyped name is said with the cluster that was asked, and the code is 1."""
    for command in ("pause", "resume"):
        ended = world.call(command, f"{world.bed.namespace}/chekcout", configured=False)
        said = f"canary-watch: Kubernetes: there is no Deployment {world.bed.namespace}/chekcout on {world.gate.url} "
        assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
        assert ended.err == f"{said}(--kubeconfig and --context choose the cluster)\n"


def test_a_cluster_that_is_away_is_one_line(world: World) -> None:
    """An API server that can't be reached is said in one line, and the code is 1."""
    world.gate.inject("refused")
    for command in ("pause", "resume"):
        ended = world.call(command, f"{world.bed.namespace}/checkout", configured=False)
        assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
        assert f"can't connect to {world.gate.url}: Connection refused" in ended.err
        assert world.leaks(ended) == []
