"""SIGTERM and SIGINT end `run` within two seconds, whatever it is doing, and the Lease is free for another at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands.world import PROMPT, Ended, World
from tests.controlplane.http import until
from watcher.sandbox.stand_in import Request


def prompt_and_clean(ended: Ended) -> None:
    """Demand an end in time, with code 0, and without a traceback."""
    assert ended.code == 0, ended.err
    assert ended.seconds < PROMPT
    assert "Traceback" not in ended.err


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, as Linux tells."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def test_it_ends_during_its_start(world: World) -> None:
    """A signal that comes while modules are loaded and files are read is not lost."""
    running = world.start("run")
    until(lambda: catches(running.process.pid, signal.SIGTERM))
    prompt_and_clean(running.end())
    assert "leading as" not in running.said()


def test_it_ends_while_credentials_hang(world: World) -> None:
    """A kubeconfig's credential plugin that doesn't come back holds a start up, but not its end."""
    started = world.folder / "started"
    kubeconfig = json.loads((world.folder / "kubeconfig").read_text())
    hang = {"command": "sh", "args": ["-c", f"touch {started}; exec sleep 5"], "interactiveMode": "Never"}
    kubeconfig["users"][0]["user"] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", **hang}}
    (world.folder / "kubeconfig").write_text(json.dumps(kubeconfig))
    running = world.start("run")
    until(started.exists)
    prompt_and_clean(running.end())


def test_the_lease_is_free_afterwards(world: World) -> None:
    """A daemon that is told to end empties the Lease, and the next one leads without waiting for it to run out."""
    running = world.start("run")
    running.until_said("leading as")
    assert world.holder()
    prompt_and_clean(running.end(signal.SIGTERM))
    assert world.holder() == ""
    begun = time.monotonic()
    running = world.start("run")
    running.until_said("leading as")
    assert time.monotonic() - begun < 14, "the Lease lasts 15 s"
    prompt_and_clean(running.end(signal.SIGINT))
    assert world.holder() == ""


def test_it_ends_while_prometheus_hangs(world: World) -> None:
    """A query that is never answered holds nothing up."""
    world.ship()
    world.metrics.inject("timeout")
    running = world.start("run")
    until(lambda: world.metrics.requests)
    prompt_and_clean(running.end())
    assert world.holder() == ""


def test_it_ends_while_slack_hangs(world: World) -> None:
    """A message that Slack doesn't take is left to the next start, whose daemon sends it once."""
    world.ship()
    world.break_it()
    world.slack.inject("timeout")
    running = world.start("run")
    until(lambda: world.slack.requests)
    prompt_and_clean(running.end())
    assert world.holder() == ""
    world.slack.recover()
    world.start("run")
    until(lambda: world.slack.messages)
    assert world.image() == "shop:1"


def test_it_ends_while_the_api_server_hangs(world: World) -> None:
    """Where the API server answers nothing any more, the Lease can't be given back, and the daemon ends anyway."""
    running = world.start("run")
    running.until_said("leading as")
    world.gate.inject("timeout")
    time.sleep(0.5)
    prompt_and_clean(running.end())


def test_it_ends_while_the_api_server_hangs_from_the_start(world: World) -> None:
    """A daemon that was never answered ends as well."""
    world.gate.inject("timeout")
    running = world.start("run")
    until(lambda: len(world.gate.requests) > 2)
    prompt_and_clean(running.end())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_it_ends_in_the_middle_of_a_revert(world: World, moment: str) -> None:
    """Told to end with the patch under way, it ends; the next daemon finds out what became of it, and pages once."""
    world.ship()
    world.break_it()
    reached, go_on = threading.Event(), threading.Event()

    def hold(request: Request) -> None:
        if request.method == "PATCH" and request.path.endswith("/deployments/checkout"):
            reached.set()
            go_on.wait(10)

    setattr(world.gate, moment, hold)
    running = world.start("run")
    assert reached.wait(20), running.said()
    ended = running.end()
    go_on.set()
    prompt_and_clean(ended)
    assert world.holder() == ""
    setattr(world.gate, moment, lambda request: None)
    world.start("run")
    until(lambda: world.slack.messages and world.image() == "shop:1")
    assert len(world.pagerduty.incidents) == 1
    assert [case["action"] for case in world.cases()] == ["RollBack"]


def test_once_ends_while_it_waits_for_the_lease(world: World) -> None:
    """`--once` ends as quickly; it made no pass, so that its code is not 0."""
    world.start("run").until_said("leading as")
    running = world.start("run", "--once")
    running.until_said("a pass every")
    time.sleep(0.5)
    ended = running.end()
    assert (ended.code, ended.out) == (1, "")
    assert ended.seconds < PROMPT
    assert ended.err.splitlines()[-1] == "canary-watch: no pass was made: told to end"


def test_readers_that_go_away_dont_end_it(world: World) -> None:
    """With closed pipes for its output and its log, the daemon goes on to watch and ends well."""
    world.ship()
    reader, writer = os.pipe()
    line = world.line("run", "--config", str(world.config), "--dry-run", "--verbose")
    with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer) as process:
        os.close(writer)
        os.close(reader)
        until(lambda: len(world.metrics.requests) >= 3, 20)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - begun < PROMPT
    assert world.holder("canary-watch-dry-run") == ""


def test_a_log_that_nobody_reads_doesnt_keep_it(world: World) -> None:
    """With its log's pipe full, so that every line of it hangs, it still ends in time."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with (
        closing(os.fdopen(reader, "rb")),
        subprocess.Popen(
            world.line("run", "--config", str(world.config), "--verbose"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=writer,
        ) as process,
    ):
        until(lambda: [one for one in world.bed.items("leases") if one["spec"].get("holderIdentity")], 20)
        while fill(writer):
            pass
        os.set_blocking(writer, True)
        time.sleep(1.5)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - begun < PROMPT
        os.close(writer)


def fill(writer: int) -> int:
    """Write to a pipe until it is full; how many bytes it took."""
    try:
        return os.write(writer, b"." * 4096)
    except BlockingIOError:
        return 0
