"""What goes on in the town, told as it changes: pods, error rate, daemon, PagerDuty, #deploy."""

from __future__ import annotations

import re
import time

from watcher.judgement.model import Grid
from watcher.judgement.queries import pods_of
from watcher.sandbox.demo.screen import Screen
from watcher.sandbox.demo.town import Town
from watcher.systems.prometheus import Prometheus, PrometheusSettings

# The daemon's lines that belong to the story; the rest is in its log.
TOLD = re.compile(
    r" canary-watch(?:\.runbook)? (?P<said>(?:case|RollBack|Hold|Escalate|leading|\S+ revision \d+ is proven).*)"
)

LONGEST = 200  # characters of a line of the log
CASE = re.compile(r"case \S+/(r\d+)-\w+")  # its id is long, and there is only one


class Watching:
    """Looks at everything, and tells on the screen what is new since the last look."""

    def __init__(self, town: Town, screen: Screen) -> None:
        self._town = town
        self._screen = screen
        self._prometheus = Prometheus(PrometheusSettings(town.prometheus.url, 3.0, None, None))
        self._read = 0
        self._incidents: dict[str, tuple[str, int]] = {}
        self._messages: dict[str, str] = {}

    def show(self, revision: int, threshold: float) -> None:
        """Show the error rate of a revision's pods, and whatever else is new."""
        self._screen.rate(revision, self._share(revision), threshold)
        self._show_log()
        self._show_incidents()
        self._show_messages()

    def _share(self, revision: int) -> float | None:
        """The share of errors on the revision's pods in the last 5 seconds, as Prometheus has it."""
        found = self._town.revisions().get(revision)
        if found is None:
            return None
        pods = f'{{namespace="{self._town.namespace}",pod=~"{pods_of(found["metadata"]["name"])}"'
        every = f"sum(increase(http_requests_total{pods}}}[5s]))"
        bad = f'(sum(increase(http_requests_total{pods},code=~"5.."}}[5s])) or vector(0))'
        answer = self._prometheus.range(f"{bad} / ({every} > 0)", Grid(float(int(time.time())), 1.0, 1))
        return answer.series[0].samples[-1][1] if answer.series and answer.series[0].samples else None

    def _show_log(self) -> None:
        lines = self._town.log.read_text(errors="replace").splitlines()
        for line in lines[self._read :]:
            found = TOLD.search(line)
            if found:
                said = CASE.sub("case", found["said"])
                self._screen.line(f"canary-watch: {said if len(said) <= LONGEST else said[: LONGEST - 1] + '…'}")
        self._read = len(lines)

    def _show_incidents(self) -> None:
        for incident in self._town.pagerduty.incidents:
            seen = (incident.status, len(incident.notes))
            if self._incidents.get(incident.id) != seen:
                self._incidents[incident.id] = seen
                text = "\n".join((f"{incident.status.upper()}: {incident.summary}", *incident.notes))
                self._screen.quote(f"→ PagerDuty incident {incident.id}", text)

    def _show_messages(self) -> None:
        for message in self._town.slack.top:
            if self._messages.get(message.ts) != message.text:
                what = "edited" if message.ts in self._messages else "posted"
                self._messages[message.ts] = message.text
                self._screen.quote(f"→ #deploy, {what}", message.text)
        for one in [m for m in self._town.slack.messages if m.thread_ts and m.ts not in self._messages]:
            self._messages[one.ts] = one.text
            self._screen.line(f"→ its thread: {' '.join(one.text.split())[:LONGEST]}", "sent")
        for file in [f for f in self._town.slack.files if f.id not in self._messages]:
            self._messages[file.id] = file.name
            self._screen.line(f"→ its thread: the file {file.name}, {len(file.content)} bytes", "sent")
