"""`status` against a cluster: everything that is to be seen, and one line where it can't be."""

from __future__ import annotations

import signal

from tests.commands.world import PROMPT, World
from tests.controlplane.http import until


def test_status_of_nothing(world: World) -> None:
    """With nothing under watch it says so, names the Namespace that it looked for cases in, and asks no Prometheus."""
    ended = world.call("status")
    said = f"No rollout is under watch.\n\nNo case is open in Namespace {world.bed.namespace}.\n"
    assert (ended.code, ended.out, ended.err) == (0, said, "")
    assert world.metrics.requests == []
    found = world.call("status", "--output", "json").json
    assert found == {"namespace": world.bed.namespace, "rollouts": [], "cases": []}


def test_status_shows_rollouts_holds_and_cases(world: World) -> None:
    """Verdicts with their numbers, a hold with its reason, an open case with its steps; nothing is changed by it."""
    world.ship("cart")
    name = world.broken()
    notes = {"canary-watch.io/pause": "true", "canary-watch.io/pause-reason": "load test"}
    world.bed.http.change(world.bed.path("deployments", "checkout"), {"metadata": {"annotations": notes}})
    world.slack.inject("429")
    assert world.call("run", "--once").code == 0
    before = world.settled_objects()
    world.gate.requests.clear()
    text, found = world.call("status"), world.call("status", "--output", "json").json
    assert (text.code, text.err) == (0, "")
    rows = [" ".join(line.split()) for line in text.out.splitlines()]
    cart = next(row for row in rows if row.startswith(f"{world.bed.namespace}/cart 2 "))
    assert cart.endswith("KeepWatching (healthy) errors 0, not above 5")
    held = next(row for row in rows if row.startswith(f"{name} 2 "))
    assert f"Hold (paused) paused on Deployment {name} until the annotation is removed (load test)" in held
    assert [row for row in rows if row.startswith("Breached (above-threshold) errors/errors: errors 9, above 5 since")]
    assert [row for row in rows if row.startswith(f"test-cluster/us-east-1/{name}/r2-")]
    assert "page done" in rows
    assert [row for row in rows if row.startswith("announce waiting ") and "rate" in row.lower()], text.out
    rollouts = {one["deployment"]: one for one in found["rollouts"]}
    assert [rollouts[key]["decision"] for key in ("cart", "checkout")] == ["KeepWatching", "Hold"]
    assert [check["verdict"] for check in rollouts["checkout"]["checks"]] == ["Breached"]
    assert (rollouts["checkout"]["checks"][0]["observed"], rollouts["checkout"]["revision"]) == (9.0, 2)
    (case,) = found["cases"]
    assert (case["action"], case["reason"], case["deployment"], case["revision"]) == ("Hold", "paused", "checkout", 2)
    steps = {step["step"]: step["state"] for step in case["steps"]}
    assert steps == {"confirm": "done", "oncall": "skipped", "page": "done", "announce": "waiting"}
    assert world.writes() == set()
    assert world.objects() == before
    assert world.leaks(text) == []


def test_status_without_prometheus(world: World) -> None:
    """Where Prometheus doesn't answer, verdicts are Unknown with the cause, and the code is 0; no secret is needed."""
    name = world.ship()
    for secret in ("routing-key", "api-token", "slack-token"):
        (world.folder / secret).unlink()
    world.metrics.inject("refused")
    refused = world.call("status")
    assert (refused.code, refused.err) == (0, "")
    assert "Unknown (prometheus-error)" in refused.out
    assert "Connection refused" in refused.out
    world.metrics.recover()
    world.metrics.inject("timeout")
    hanging = world.call("status", "--output", "json")
    (rollout,) = hanging.json["rollouts"]
    assert f"{rollout['namespace']}/{rollout['deployment']}" == name
    assert (rollout["decision"], rollout["checks"][0]["reason"]) == ("KeepWatching", "prometheus-error")
    assert hanging.seconds < 30, "bounded, on a busy machine too"


def test_status_without_a_cluster(world: World) -> None:
    """A cluster that refuses or hangs is one line on standard error and code 1, in bounded time; Ctrl-C ends it."""
    world.gate.inject("timeout")
    hanging = world.call("status")
    assert (hanging.code, hanging.out, hanging.err.count("\n")) == (1, "", 1)
    assert f"no answer from {world.gate.url} in time" in hanging.err
    assert hanging.seconds < 30
    asked = len(world.gate.requests)
    running = world.start("status")
    until(lambda: len(world.gate.requests) > asked)
    interrupted = running.end(signal.SIGINT)
    assert (interrupted.code, interrupted.out, interrupted.err) == (1, "", "canary-watch: interrupted\n")
    assert interrupted.seconds < PROMPT
    world.gate.inject("refused")
    refused = world.call("status", "--output", "json")
    said = f"can't connect to {world.gate.url}: Connection refused (--kubeconfig and --context choose the cluster)\n"
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert refused.err.endswith(said)
