"""`rollback` against a cluster: the case that it writes, what it refuses and why, and what it says meanwhile.

The whole way, with a daemon on a real control plane, is in `tests/scenarios/test_by_hand.py`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.commands.world import World
from tests.controlplane.http import until

PAUSE = "canary-watch.io/pause"


def ship(world: World, *images: str) -> str:
    """Roll a Deployment out, and each further image after it; give it as the command line names it."""
    name = world.ship()
    for image in images:
        world.bed.set_image("checkout", image)
        world.bed.settled("checkout")
    return name


def refused(world: World, *arguments: str) -> str:
    """Order what can't be ordered: one line says why, the code is 1, nothing is written and no secret told."""
    written = world.writes()
    ended = world.call("rollback", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1), ended.err
    assert ended.err.startswith("canary-watch: ")
    # Whether there is a case already is asked by creating it.
    assert {one for one in world.writes() - written if not one.startswith("POST ")} == set()
    assert world.leaks(ended) == []
    return ended.err


def test_an_order_is_a_case(world: World) -> None:
    """The case names the revisions, the reason and who ordered it; a second order finds it under way."""
    name = ship(world, "shop:3")
    ended = world.call("rollback", name, "--to-revision", "1", "--reason", "wrong prices", "--no-wait")
    [case] = world.cases()
    assert (ended.code, ended.out, ended.err) == (0, f"case {case['id']}: revision 3 is to be rolled back\n", "")
    assert case["id"].startswith(f"test-cluster/us-east-1/{name}/r3-")
    assert (case["action"], case["reason"], case["bad"], case["target"]) == ("RollBack", "by-hand", 3, 1)
    assert case["said"].startswith("wrong prices (ordered by ")
    assert case["ordered"] == case["opened"]
    assert f"it is being rolled back in case {case['id']}" in refused(world, name)
    assert world.cases() == [case]


def test_the_next_pass_carries_it_out(world: World) -> None:
    """`run --once` takes an order up as any daemon does: healthy as the Deployment is, it goes where it is told to."""
    name = ship(world, "shop:3")
    assert world.call("rollback", name, "--to-revision", "1", "--no-wait").code == 0
    assert world.call("run", "--once").code == 0
    until(lambda: world.image() == "shop:1")
    [note] = [json.loads(world.bed.deployment("checkout")["metadata"]["annotations"]["canary-watch.io/rolled-back"])]
    assert note["case"] == world.cases()[0]["id"]
    said = refused(world, name)
    assert f"revision 3 was rolled back in case {note['case']}, which is being verified" in said
    assert "say to which revision" in said
    assert "revision 1 is what" in refused(world, name, "--to-revision", "1")
    assert "revision 3 was rolled back itself; there are 4, 3, 2" in refused(world, name, "--to-revision", "3")


def test_what_can_not_be_rolled_back_to(world: World) -> None:
    """A revision that isn't there, or is the one of now; a single revision; a Deployment that isn't there: one line."""
    name = ship(world)
    assert f"revision 2 is what {name} has now" in refused(world, name, "--to-revision", "2")
    assert f"{name} has no revision 9; there are 2, 1" in refused(world, name, "--to-revision", "9")
    said = refused(world, f"{world.bed.namespace}/chekcout")
    assert f"there is no Deployment {world.bed.namespace}/chekcout on {world.gate.url}" in said
    one = world.bed.deployment("checkout")
    body: dict[str, Any] = {"metadata": {"name": "single", "labels": {"app": "single"}}, "spec": one["spec"]}
    body["spec"]["selector"]["matchLabels"] = body["spec"]["template"]["metadata"]["labels"] = {"app": "single"}
    world.bed.http.create(world.bed.path("deployments"), body)
    world.bed.settled("single")
    assert "revision 1 is the only one: there is nothing to roll back to" in refused(
        world, f"{world.bed.namespace}/single"
    )
    assert world.cases() == []


@pytest.mark.parametrize("where", ["deployment", "namespace", "spec"])
def test_a_pause_holds_an_order_too(world: World, where: str) -> None:
    """A pause on the Deployment or its Namespace, and spec.paused, refuse an order, and it is said what to do first."""
    name = ship(world)
    notes = {"metadata": {"annotations": {PAUSE: "true"}}}
    path = {"namespace": f"/api/v1/namespaces/{world.bed.namespace}"}.get(
        where, world.bed.path("deployments", "checkout")
    )
    world.bed.http.change(path, {"spec": {"paused": True}} if where == "spec" else notes)
    said = refused(world, name)
    assert ("spec.paused is set" if where == "spec" else "paused on ") in said
    assert "resume it first" in said
    assert world.cases() == []


def test_an_api_server_that_goes_away_is_waited_for(world: World) -> None:
    """Once the case is opened, an outage ends nothing: it is said once, and the command goes on looking."""
    name = ship(world)
    running = world.start("rollback", name)
    until(world.cases)
    world.gate.inject("500")
    running.until_said("the case goes on, it is looked at again")
    looked = len(world.gate.requests)
    until(lambda: len(world.gate.requests) > looked + 2)
    assert running.process.poll() is None
    assert running.said().count("\n") == 1
    world.gate.recover()
    [case] = world.cases()
    path = world.bed.path("configmaps", f"case-{case['uid']}-r{case['bad']}")
    closed = {**case, "closed": case["opened"] + 1, "outcome": "overtaken"}
    world.bed.http.change(path, {"data": {"case": json.dumps(closed)}})
    ended = running.wait()
    assert ended.code == 1
    assert ended.out.splitlines()[-1] == f"case {case['id']} is closed: overtaken"


@pytest.mark.parametrize(("outcome", "code"), [("verified", 0), ("not-verified", 1)])
def test_it_ends_with_the_rollback_though_the_case_stays_open(world: World, outcome: str, code: int) -> None:
    """A vendor that is away keeps the case open for a day: nobody's terminal waits for that."""
    name = ship(world)
    running = world.start("rollback", name)
    until(world.cases)
    [case] = world.cases()
    path = world.bed.path("configmaps", f"case-{case['uid']}-r{case['bad']}")
    away = {"state": "waiting", "attempts": 9, "failures": 9, "error": "can't be reached"}
    world.bed.http.change(path, {"data": {"case": json.dumps({**case, "outcome": outcome, "steps": {"ticket": away}})}})
    ended = running.wait()
    assert (ended.code, ended.err) == (code, "")
    assert ended.out.splitlines()[1:] == [
        "ticket: can't be reached",
        f"case {case['id']} has ended, what is left to write goes on: {outcome}",
    ]


def test_no_secret_is_needed(world: World) -> None:
    """People give orders from machines of their own: the vendors' secret files need not be there."""
    name = ship(world)
    for secret in ("routing-key", "api-token", "slack-token"):
        (world.folder / secret).unlink()
    assert world.call("rollback", name, "--no-wait").code == 0
