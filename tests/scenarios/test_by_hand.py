"""A person orders a rollback: the case goes through the same steps as the daemon's own, and survives as much.

What is refused at once, on the embedded cluster, is in `tests/commands/test_rollback.py`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from functools import partial

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.stage import Stage
from tests.scenarios.test_kills import PATCH
from tests.scenarios.test_triggers import BAD, GOOD
from watcher.sandbox.stand_in import Request

TOLD = ("confirm", "oncall", "page", "announce", "revert", "verify", "impact", "report")


def ended(order: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code of an order, what it told, and what it said of trouble."""
    out, err = order.communicate(timeout=90)
    return order.returncode, out, err


def refusal(stage: Stage, deployment: str, *arguments: str) -> str:
    """Why an order is refused, which must be one line and code 1."""
    code, out, err = ended(stage.order(deployment, *arguments))
    assert (code, out, err.count("\n")) == (1, "", 1), err
    return err


def behave(stage: Stage) -> None:
    """Healthy images, and the bad ones."""
    for image in ("good:1", "good:2", "good:3"):
        stage.traffic.set_behaviour(image, GOOD)
    for image in ("bad:1", "bad:2"):
        stage.traffic.set_behaviour(image, BAD)


def ship(stage: Stage, names: Sequence[str], *images: str) -> None:
    """Release each image to all of the Deployments at once."""
    for image in images:
        for name in names:
            if image == images[0]:
                stage.http.create(stage.path("").rstrip("/"), stage.manifest(image, name, {}))
            else:
                stage.set_image(image, name)
        for name in names:
            stage.until(partial(stage.rolled_out, name, image), f"{name} at {image}")


@pytest.mark.timeout(240)
def test_healthy_deployments_are_rolled_back(make_stage: MakeStage) -> None:
    """Nothing is wrong but that a person says so: through every step to the newest good revision, or the one named."""
    stage = make_stage(policies=("error-rate",))
    behave(stage)
    ship(stage, ("newest", "named", "paused"), "good:1", "good:2", "good:3")
    stage.cli("pause", f"{stage.namespace}/paused")
    daemon = stage.start()
    stage.until(lambda: "leading as" in daemon.said(), "the daemon leads")
    orders = [stage.order("newest"), stage.order("named", "--to-revision", "1", "--reason", "wrong prices")]
    code, out, err = ended(orders[0])
    assert (code, err) == (0, ""), out
    [case] = stage.cases("newest")
    lines = out.splitlines()
    assert lines[0] == f"case {case['id']}: revision 3 is to be rolled back"
    assert lines[-1] == f"case {case['id']} is closed: verified"
    assert {line.partition(":")[0] for line in lines[1:-1]} >= set(TOLD)
    assert ended(orders[1])[0] == 0
    assert (stage.image("newest"), stage.image("named")) == ("good:2", "good:1")
    [message] = stage.posted("named")
    first = message.text.splitlines()[0]
    assert "from revision 3 to revision 1. Reason: wrong prices (ordered by " in first
    assert [i.status for i in stage.pagerduty.incidents] == ["resolved", "resolved"]
    assert "was rolled back itself; there are 4, 3, 1" in refusal(stage, "newest", "--to-revision", "3")
    assert "resume it first" in refusal(stage, "paused")
    assert (stage.image("paused"), stage.cases("paused")) == ("good:3", [])
    assert (stage.patches("newest"), stage.patches("named")) == (1, 1)
    assert stage.vendors.violations == []


def test_a_hold_becomes_a_rollback(make_stage: MakeStage) -> None:
    """What the daemon holds because the breach is older than the rollout, a person may take back: in the same case."""
    stage = make_stage(policies=("error-rate",))
    behave(stage)
    stage.ship("bad:1")
    time.sleep(10)  # the real Prometheus must have seen errors for longer than `for` before the rollout
    stage.start()
    stage.ship("bad:2")
    stage.until(stage.posted, "the hold is said")
    assert [case["reason"] for case in stage.cases()] == ["older-than-rollout"]
    order = stage.order("checkout", "--reason", "no matter since when")
    stage.until(lambda: stage.image() == "bad:1", "it is rolled back")
    stage.traffic.set_behaviour("bad:1", GOOD)
    code, out, err = ended(order)
    assert (code, err) == (0, ""), out
    [case] = stage.cases()
    assert (case["action"], case["reason"], case["outcome"]) == ("RollBack", "by-hand", "verified")
    assert case["said"].startswith("no matter since when (ordered by ")
    [message] = stage.posted()
    assert (message.edits[0].split()[0], message.text.split()[0]) == ("✋", "🚨")
    assert [i.status for i in stage.pagerduty.incidents] == ["resolved"]


@pytest.mark.timeout(240)
def test_orders_wait_for_a_daemon(make_stage: MakeStage) -> None:
    """No daemon, or one that runs dry: that is said. One that comes later carries them out, and may be killed at it."""
    stage = make_stage(policies=("error-rate",))
    behave(stage)
    ship(stage, ("followed", "left"), "good:1", "good:2")
    followed = stage.order("followed")
    dry = stage.start("--dry-run")
    code, out, err = ended(stage.order("left", "--no-wait"))
    [case] = stage.cases("left")
    assert (code, out, err) == (0, f"case {case['id']}: revision 2 is to be rolled back\n", "")
    assert f"it is being rolled back in case {case['id']}" in refusal(stage, "left")
    stage.until(lambda: dry.passes() > 1, "the dry run makes its passes")
    assert followed.stderr is not None
    warned = followed.stderr.readline()
    assert "no daemon has taken the case up yet" in warned
    assert f"Namespace {stage.home}" in warned
    assert {case["outcome"] for case in stage.cases()} == {""}
    assert (stage.patches("followed"), stage.patches("left")) == (0, 0)
    dry.end()
    first = stage.start()

    def kill(request: Request) -> None:
        if PATCH(request):
            stage.gate.after = lambda request: None
            first.kill()

    stage.gate.after = kill
    stage.until(lambda: first.process.poll() is not None, "the daemon is killed right after a patch")
    stage.start()
    code, out, _ = ended(followed)
    assert code == 0, out
    for name in ("followed", "left"):
        [case] = stage.closed("verified", deployment=name)
        assert (stage.image(name), len(stage.posted(name))) == ("good:1", 1)
        [incident] = [i for i in stage.pagerduty.incidents if i.dedup_key == case["id"]]
        assert incident.status == "resolved"
        number = stage.deployment(name)["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
        assert number == "3", "one revert"
