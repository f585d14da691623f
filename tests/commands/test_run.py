"""`run`: one pass, dry runs, and starts that go wrong."""

from __future__ import annotations

import time

from tests.commands.world import World


def test_two_runs_in_a_row_are_harmless(world: World) -> None:
    """`--once` makes its pass and carries out what it can; the second finds that done: one revert, page and message."""
    name = world.broken()
    first, second = world.call("run", "--once"), world.call("run", "--once")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert "1 RollBack (above-threshold)" in first.out
    assert first.out.count("\n") == second.out.count("\n") == 1
    assert f"left open, for the next pass to go on with: test-cluster/us-east-1/{name}/r2-" in first.err
    assert "0 rollouts under watch" in second.out
    assert world.image() == "shop:1"
    assert [case["action"] for case in world.cases()] == ["RollBack"]
    patches = [r for r in world.gate.requests if r.method == "PATCH" and r.path.endswith("/deployments/checkout")]
    assert (len(patches), len(world.pagerduty.incidents), len(world.slack.top)) == (1, 1, 1)
    assert world.holder() == ""
    assert world.leaks(first, second) == []


def test_a_dry_run_changes_nothing_but_its_lease(world: World) -> None:
    """It tells each decision once on standard output, and neither the cluster nor a vendor hears of it."""
    name = world.broken()
    before = world.settled_objects()
    world.gate.requests.clear()
    running = world.start("run", "--dry-run", "--verbose")
    asked = len(world.metrics.requests)
    deadline = time.monotonic() + 20
    while len(world.metrics.requests) < asked + 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    daemon = running.end()
    once = world.call("run", "--dry-run", "--once")
    decided = f"dry run: RollBack {name} revision 2 (above-threshold): errors/errors: errors 9, above 5 since "
    assert (daemon.code, daemon.out.count(decided), daemon.out.count("\n")) == (0, 1, 1), daemon.err
    assert (once.code, once.out.count(decided), once.out.count("\n")) == (0, 1, 2)
    leases = world.bed.path("leases")
    assert world.writes() == {f"POST {leases}", f"PUT {leases}/canary-watch-dry-run"}
    assert world.objects() == before
    assert [item["metadata"]["name"] for item in world.bed.items("leases")] == ["canary-watch-dry-run"]
    assert (world.holder("canary-watch-dry-run"), world.pagerduty.requests, world.slack.requests) == ("", [], [])
    assert world.leaks(daemon, once) == []


def test_mistakes_are_listed_and_nothing_starts(world: World) -> None:
    """Every mistake of config, policies and secret files comes at once, each at its place, and no one is asked."""
    world.configure(intervall="1s")
    config = world.call("run")
    assert (config.code, config.out) == (1, "")
    assert ": intervall is not a key here; did you mean interval?\n" in config.err
    (world.folder / "slack-token").unlink()
    world.configure(interval="5s", pagerduty={"routingKeyFile": "nowhere"})
    ended = world.call("run", "--once", "--dry-run")
    lines = ended.err.splitlines()
    assert (ended.code, ended.out, len(lines)) == (1, "", 4)
    assert lines[0].startswith(f"{world.config}:")
    assert [line.partition(": ")[2] for line in lines] == [
        "routingKeyFile: names no file that can be read from here",
        "tokenFile: names no file that can be read from here",
        "for: 1s is shorter than the config's interval; write at least 5s",
        "3 mistakes in the files above; nothing was started",
    ]
    assert world.gate.requests == world.metrics.requests == []


def test_a_cluster_that_isnt_there_at_the_start(world: World) -> None:
    """The daemon says so, keeps trying and leads once it is there; `--once` says so and ends with 1."""
    world.gate.inject("refused")
    once = world.call("run", "--once")
    said = f"can't connect to {world.gate.url}: Connection refused"
    assert (once.code, once.out) == (1, "")
    assert once.err.splitlines()[-1].startswith("canary-watch: no pass was made: Kubernetes: GET ")
    assert said in once.err
    world.configure(lease={"duration": "5s"})
    running = world.start("run")
    running.until_said(said)
    world.gate.recover()
    running.until_said("leading as")
    assert running.end().code == 0


def test_no_cluster_is_configured(world: World) -> None:
    """Without any cluster to talk to, each command says in one line what it looked for."""
    (world.folder / "kubeconfig").unlink()
    ended = world.call("run")
    said = f"canary-watch: Kubernetes: the kubeconfig {world.folder}/kubeconfig is not there"
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith(said)


def test_the_log_says_what_is_switched_off(world: World) -> None:
    """A vendor's section left out is said once at the start, and the pass is made all the same."""
    world.configure(slack=None, pagerduty=None)
    ended = world.call("run", "--once")
    assert (ended.code, ended.out.count("\n")) == (0, 1)
    for vendor in ("PagerDuty", "Slack"):
        assert ended.err.count(f"{vendor} is not configured: it is left out of every case") == 1
