"""One round of the commands against a real control plane."""

from __future__ import annotations

from tests.commands.world import World


def test_one_round_on_a_real_control_plane(real_world: World) -> None:
    """A pause holds a breach, status shows it, and once resumed a single pass rolls it back and frees the Lease."""
    world = real_world
    name = world.broken()
    paused = world.call("pause", name, "--for", "1h", "--reason", "load test", configured=False)
    assert (paused.code, paused.err) == (0, "")
    held = world.call("run", "--once")
    assert (held.code, world.image(), world.holder()) == (0, "shop:2", ""), held.err
    (rollout,) = world.call("status", "--output", "json").json["rollouts"]
    assert (rollout["decision"], rollout["reason"]) == ("Hold", "paused")
    assert "load test" in rollout["said"]
    resumed = world.call("resume", name, configured=False)
    assert (resumed.code, resumed.out) == (0, f"{name} is resumed\n")
    done = world.call("run", "--once")
    assert (done.code, world.image(), world.holder()) == (0, "shop:1", ""), done.err
    text = world.call("status")
    assert "RollBack (above-threshold)" in text.out
    assert world.leaks(paused, held, resumed, done, text) == []
