"""Somebody else acts as well: a person between decision and patch, or a second daemon."""

from __future__ import annotations

import threading

from tests.scenarios.conftest import MakeStage
from tests.scenarios.stage import Stage
from tests.scenarios.test_kills import PATCH
from tests.scenarios.test_triggers import BAD, GOOD
from watcher.sandbox.stand_in import Request


def test_a_persons_change_wins(stage: Stage) -> None:
    """A change that a person makes between the decision and the patch stands; nothing is patched, paged or posted."""
    for image, behaviour in (("good:1", GOOD), ("bad:2", BAD), ("fix:3", GOOD)):
        stage.traffic.set_behaviour(image, behaviour)
    stage.ship("good:1")
    done = threading.Event()

    def change(request: Request) -> None:
        if PATCH(request) and not done.is_set():
            done.set()
            stage.set_image("fix:3")

    stage.gate.before = change
    stage.start()
    stage.ship("bad:2")
    [case] = stage.closed("overtaken")
    assert case["action"] == "RollBack"
    assert stage.image() == "fix:3"
    assert stage.posted() == ()
    assert stage.pagerduty.incidents == ()
    stage.stays(lambda: stage.image() == "fix:3" and len(stage.cases()) == 1, 5, "their change stands")


def test_everything_else_is_kept(stage: Stage) -> None:
    """A revert changes the template alone: annotations, labels, replicas and fields that we don't know stay."""
    for image, behaviour in (("good:1", GOOD), ("bad:2", BAD)):
        stage.traffic.set_behaviour(image, behaviour)
    stage.ship("good:1", annotations={"example.com/owner": "shop", "example.com/note": "a/b~c"})
    path = stage.path()
    stage.http.change(path, {"metadata": {"labels": {"tier": "front"}}, "spec": {"minReadySeconds": 1}})
    first = stage.deployment()
    stage.ship("bad:2")
    stage.http.change(path, {"metadata": {"annotations": {"example.com/later": "kept"}}})
    stage.start()
    stage.closed("verified")
    after = stage.deployment()
    assert after["spec"] == first["spec"]
    assert after["metadata"]["labels"] == first["metadata"]["labels"]
    notes = after["metadata"]["annotations"]
    assert {k: v for k, v in notes.items() if k.startswith("example.com/")} == {
        "example.com/owner": "shop",
        "example.com/note": "a/b~c",
        "example.com/later": "kept",
    }
    assert "rolled back from revision 2 to 1" in notes["kubernetes.io/change-cause"]


def test_two_daemons_at_once(make_stage: MakeStage) -> None:
    """Of two daemons one acts, the other stands by; when the first is killed, the second takes over."""
    stage = make_stage()
    for image, behaviour in (("good:1", GOOD), ("bad:2", BAD), ("bad:3", BAD)):
        stage.traffic.set_behaviour(image, behaviour)
    stage.ship("good:1")
    first = stage.start()
    stage.until(lambda: "leading as" in first.said(), "the first leads")
    second = stage.start()
    stage.until(lambda: "standing by" in second.said(), "the second stands by")
    stage.ship("bad:2")
    stage.closed("verified")
    assert "rolled back" not in second.said()
    assert (len(stage.posted()), len(stage.pagerduty.incidents)) == (1, 1)
    first.kill()
    stage.ship("bad:3")
    stage.closed("verified", count=2)
    assert "leading as" in second.said()
    assert (len(stage.posted()), len(stage.pagerduty.incidents)) == (2, 2)
