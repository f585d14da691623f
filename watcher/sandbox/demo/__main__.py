"""The demo's story: ship a good release, then a bad one, show what happens, and check that all of it really did.

Exits 0 only then, and 1 naming what did not. KUBECONFIG in the environment: on that cluster, else an embedded one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from watcher.judgement.rollouts import REVISION, ROLLED_BACK
from watcher.sandbox.demo.policies import SAID
from watcher.sandbox.demo.screen import Screen
from watcher.sandbox.demo.town import DEPLOYMENT, Town
from watcher.sandbox.demo.watching import Watching
from watcher.sandbox.prometheus import PrometheusMissing
from watcher.systems.fault import Fault

THRESHOLD = 0.01
PATIENCE = 60.0  # seconds for each part of the story
TICK = 1.0


@dataclass
class Story:
    """The demo as it goes; `missing` names what did not happen."""

    town: Town
    screen: Screen
    watching: Watching
    missing: list[str] = field(default_factory=list)

    def until(self, look: Callable[[], bool], what: str, revision: int) -> bool:
        """Show what goes on until something has happened; note where it doesn't in time."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.watching.show(revision, THRESHOLD)
            if look():
                return True
            time.sleep(TICK)
        self.missing.append(what)
        self.screen.line(f"did not happen within {PATIENCE:.0f} s: {what}", "bad")
        return False

    def check(self, held: bool, what: str) -> None:
        """Check one claim of the story at its end."""
        if not held and what not in self.missing:
            self.missing.append(what)
        self.screen.line(f"{'✔' if held else '✘'} {what}", "good" if held else "bad")

    def complete(self) -> bool:
        """Whether all pods run the newest template."""
        found = self.town.deployment()
        status = found.get("status", {})
        observed = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        return bool(
            observed and status.get("availableReplicas") == status.get("updatedReplicas") == status.get("replicas") == 2
        )

    def revision(self) -> int:
        """The Deployment's revision."""
        return int(self.town.deployment()["metadata"].get("annotations", {}).get(REVISION, 0))

    def image(self) -> str:
        """The image that the Deployment asks for."""
        return str(self.town.deployment()["spec"]["template"]["spec"]["containers"][0]["image"])


def play(story: Story, daemon: subprocess.Popen[bytes]) -> None:
    """Tell the whole story."""
    screen, town = story.screen, story.town
    screen.phase("The shop opens: checkout, shop:1, 2 pods")
    town.release("shop:1", 0.0)
    story.until(lambda: story.revision() == 1 and story.complete(), "shop:1 is rolled out", 1)
    screen.phase("A GOOD release: shop:2. It is under watch for 20 s")
    town.release("shop:2", 0.0)
    if story.until(lambda: town.verdict("shop:2") == "proven", "the good release is marked proven", 2):
        screen.line("revision 2 came through its watch: marked proven", "good")
    screen.phase("A BAD release: shop:3, every fifth order fails")
    town.release("shop:3", 0.2)
    shipped = time.monotonic()
    story.until(lambda: story.revision() == 3, "the bad release is rolled out", 3)
    if story.until(lambda: story.image() == "shop:2", "the bad release is rolled back", 3):
        screen.phase(f"Rolled back {time.monotonic() - shipped:.0f} s after it was shipped. Now verifying")
        said = lambda: any("Verified" in m.text for m in town.slack.top)  # noqa: E731 - named for the lines below
        resolved = lambda: [i.status for i in town.pagerduty.incidents] == ["resolved"]  # noqa: E731 - likewise
        if story.until(said, "the rollback is verified", 4):
            story.until(resolved, "the incident is resolved", 4)
            story.until(lambda: len(town.slack.files) == 3, "chart, postmortem and invitation are in the thread", 4)
    screen.phase("The daemon is told to end (SIGTERM)")
    begun = time.monotonic()
    daemon.send_signal(signal.SIGTERM)
    code = daemon.wait(10)
    screen.line(f"ended with code {code} after {time.monotonic() - begun:.1f} s")
    screen.phase("Did all of it really happen?")
    verify(story, code)


def verify(story: Story, code: int) -> None:
    """Check each claim against the cluster and what the vendors got."""
    town = story.town
    incidents, messages = town.pagerduty.incidents, town.slack.top
    runs = " in `us-east-1` from revision 3 to revision 2. Reason: error-rate"
    story.check(town.verdict("shop:2") == "proven", "the good release is marked proven")
    story.check(town.verdict("shop:3") == "condemned", "the bad release is marked condemned")
    story.check(story.image() == "shop:2", "the bad release is rolled back")
    story.check(story.complete(), "every pod runs the good release again")
    story.check(ROLLED_BACK in town.deployment()["metadata"]["annotations"], "the Deployment says so itself")
    story.check(len(incidents) == 1, "one PagerDuty incident was opened")
    story.check([i.status for i in incidents] == ["resolved"], "the incident is resolved")
    story.check(any("Verified" in note for i in incidents for note in i.notes), "the incident has its note")
    story.check(len(messages) == 1, "one message is in #deploy")
    story.check(any(f"Rolled back `{DEPLOYMENT}`{runs}" in m.text for m in messages), "the message is the runbook's")
    story.check(any("Verified" in m.text for m in messages), "the rollback is verified")
    kinds = sorted(file.name.rpartition(".")[2] for file in town.slack.files)
    story.check(kinds == ["ics", "md", "png"], "chart, postmortem and invitation are in its thread, once each")
    story.check(not town.slack.violations and not town.pagerduty.violations, "every request kept the vendors' rules")
    story.check(code == 0, "the daemon ended well at SIGTERM")


def main() -> int:
    """Set up, play, and say how it came out; the exit code. Interrupted in any way, everything is removed first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return _main(Screen())
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; everything is removed\n")
    except BrokenPipeError:
        sys.stdout = None  # whoever read the story has gone
    return 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _main(screen: Screen) -> int:
    kubeconfig = os.environ.get("KUBECONFIG") or None
    where = f"the cluster of {kubeconfig}" if kubeconfig else "an embedded cluster"
    screen.phase(f"Setting up: {where}, a shop, Prometheus, stand-ins for PagerDuty and Slack")
    try:
        with Town(kubeconfig) as town, town.daemon() as daemon:
            screen.line(f"namespace {town.namespace}; the daemon runs with policies/, shortened: {SAID}")
            story = Story(town, screen, Watching(town, screen))
            play(story, daemon)
            if story.missing:
                screen.quote("the daemon's log ends:", "\n".join(town.log.read_text().splitlines()[-30:]))
    except (PrometheusMissing, Fault, RuntimeError) as why:
        screen.line(f"the demo can't be set up: {why}", "bad")
        return 1
    if story.missing:
        screen.phase(f"NOT all of it happened: {'; '.join(story.missing)}")
        return 1
    screen.phase("All of it happened.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
