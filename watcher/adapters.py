"""The vendors as the runbook wants them: thin fits from its Protocols (`runbook.ports`) to the clients of `systems`."""

from __future__ import annotations

from collections.abc import Mapping

from tenacity import Retrying, retry_if_result, stop_before_delay, wait_exponential

from watcher.runbook.case import Case
from watcher.systems.pagerduty import Incident, PageEvent, PagerDuty
from watcher.systems.slack import Posted, Slack

LOOKING = 3.0  # seconds, in PagerDuty's own lane; after that the message goes out without a link, and gets it later


class PagerDutyPager:
    """PagerDuty as the page and report steps use it."""

    def __init__(self, client: PagerDuty, *, can_link: bool) -> None:
        self._client = client
        self.can_link = can_link

    def page(self, case: Case, summary: str, details: Mapping[str, str]) -> None:
        """Trigger the incident; `source` is the cluster, the dedup key the case's id."""
        self._client.trigger(PageEvent(case.id, summary, case.cluster, "critical", details))

    def link(self, case: Case) -> str | None:
        """The incident's address. PagerDuty makes the incident after it took the event, so it is looked for a while."""
        look: Retrying = Retrying(
            retry=retry_if_result(lambda found: found is None),
            wait=wait_exponential(multiplier=0.2, max=1.0),
            stop=stop_before_delay(LOOKING),
            retry_error_callback=lambda state: None,
        )
        incident: Incident | None = look(self._client.incident, case.id)
        return incident.url if incident else None

    def settle(self, case: Case, note: str, *, resolve: bool) -> None:
        """Resolve, then write the note where it isn't there yet: a REST API that fails must not leave the page open."""
        if resolve:
            self._client.resolve(case.id)
        incident = self._client.incident(case.id)
        if incident and note not in self._client.notes(incident.id):
            self._client.note(incident.id, note)


class SlackAnnouncer:
    """Slack as the announce step uses it."""

    def __init__(self, client: Slack) -> None:
        self._client = client

    def find(self, key: str, since: float) -> Mapping[str, str] | None:
        """Where the message with `key` is, if it was posted."""
        found = self._client.find(key, since)
        return _place(found) if found else None

    def post(self, text: str, key: str) -> Mapping[str, str]:
        """Post, and say where."""
        return _place(self._client.post(text, key))

    def update(self, place: Mapping[str, str], text: str) -> None:
        """Change the message at `place`."""
        self._client.update(Posted(place["channel"], place["ts"]), text)


def _place(posted: Posted) -> dict[str, str]:
    return {"channel": posted.channel, "ts": posted.ts}
