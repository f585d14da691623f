"""PagerDuty as the page and report steps want it, and who is on call, as PagerDuty and Slack know it together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from tenacity import Retrying, retry_if_result, stop_before_delay, wait_exponential

from watcher.runbook.alerts import speaks_of
from watcher.runbook.case import Case
from watcher.systems.fault import Fault
from watcher.systems.pagerduty import Incident, OpenIncident, PageEvent, PagerDuty, Person
from watcher.systems.secret_file import SecretFile
from watcher.systems.slack import Slack

LOOK_UP = 3.0  # seconds for a call that the page or the first message waits for: it can do without
LOOKING = 3.0  # seconds, in PagerDuty's own lane; after that the message goes out without a link, and gets it later
OPEN_SINCE = 86400.0  # seconds before a case was opened: an incident that is older is not about its rollout
MOST_LOOKED_AT = 20  # open incidents whose alerts are read, at most
LOOKING_THROUGH = 6.0  # seconds for the whole search: the page comes after it


class PagerDutyPager:
    """PagerDuty as the page and report steps use it.

    `alert` names the alert whose open incident is noted on; `service_id` the service it is looked for on, None for all.
    """

    def __init__(
        self,
        client: PagerDuty,
        *,
        can_link: bool,
        alert: str = "",
        service_id: str | None = None,
        database_team: SecretFile | None = None,
    ) -> None:
        self._client = client
        self.can_link = can_link
        self._alert = alert
        self._service_id = service_id
        self._database_team = database_team
        self.has_database_team = database_team is not None

    def page(self, case: Case, summary: str, details: Mapping[str, str]) -> None:
        """Trigger the incident; `source` is the cluster."""
        self._client.trigger(_event(case, case.incident_key, summary, details))

    def page_database_team(self, case: Case, summary: str, details: Mapping[str, str]) -> None:
        """Trigger an incident on the database team's own service."""
        self._client.trigger(_event(case, _database_key(case), summary, details), self._database_team)

    def resolve_database_team(self, case: Case) -> None:
        """Resolve it."""
        self._client.resolve(_database_key(case), self._database_team)

    def open_alert(self, case: Case) -> Mapping[str, str] | None:
        """Look through the newest open incidents for the alert's; those whose title names it come first."""
        if not self._alert:
            return None
        latest = time.monotonic() + LOOKING_THROUGH
        every = self._client.open_incidents(self._service_id, case.opened - OPEN_SINCE, LOOK_UP)
        for one in sorted(every, key=lambda incident: self._alert not in incident.title)[:MOST_LOOKED_AT]:
            left = latest - time.monotonic()
            if left <= 0:
                break
            if self._is_about(one, case, min(LOOK_UP, left)):
                return {"id": one.id, "url": one.url, "alert": self._alert}
        return None

    def _is_about(self, incident: OpenIncident, case: Case, within: float) -> bool:
        texts = (incident.title, *self._client.texts_of(incident.id, within))
        # Our own incidents are known by their keys: a policy may have the alert's name.
        if any(text.startswith(f"{case.cluster}/{case.region}/") for text in texts):
            return False
        return speaks_of(texts, self._alert, (case.namespace, case.deployment), (case.cluster, case.region))

    def link(self, case: Case) -> str | None:
        """The open incident's address. PagerDuty makes it after it took the event, so it is looked for a while.

        Until then the newest one of that key may be one that was resolved before.
        """
        look: Retrying = Retrying(
            retry=retry_if_result(lambda found: found is None or found.status == "resolved"),
            wait=wait_exponential(multiplier=0.2, max=1.0),
            stop=stop_before_delay(LOOKING),
            retry_error_callback=lambda state: None,
        )
        incident: Incident | None = look(self._client.incident, case.incident_key)
        return incident.url if incident else None

    def note(self, incident: str, note: str) -> None:
        """Write the note where it isn't there yet."""
        if note not in self._client.notes(incident):
            self._client.note(incident, note)

    def settle(self, case: Case, note: str, *, resolve: bool) -> None:
        """Resolve, then write the note where it isn't there yet: a REST API that fails must not leave the page open."""
        if resolve:
            self._client.resolve(case.incident_key)
        incident = self._client.incident(case.incident_key)
        if incident:
            self.note(incident.id, note)


class OnCallDirectory:
    """Who is on call: by the service that is paged and by the schedules of contacts, found in Slack by e-mail."""

    def __init__(
        self, pagerduty: PagerDuty, slack: Slack, service_id: str | None, schedules: Mapping[str, str]
    ) -> None:
        self._pagerduty = pagerduty
        self._slack = slack
        self._service_id = service_id
        self._schedules = dict(schedules)

    def __call__(self) -> Mapping[str, list[str]]:
        """The Slack IDs by role. A role that lastingly can't be looked up doesn't cost the others theirs."""
        found: dict[str, list[str]] = {}
        refused: list[Fault] = []
        for role, ask in self._sources():
            try:
                found[role] = self._in_slack(ask())
            except Fault as fault:
                if not fault.lasting:
                    raise
                refused.append(fault)
        if refused and not any(found.values()):
            raise refused[0]
        return {role: people for role, people in found.items() if people}

    def _sources(self) -> Iterator[tuple[str, Callable[[], tuple[Person, ...]]]]:
        if self._service_id and "sre-oncall" not in self._schedules:
            yield "sre-oncall", partial(self._pagerduty.on_call, self._service_id)
        for role, schedule in self._schedules.items():
            yield role, partial(self._pagerduty.on_call_schedule, schedule)

    def _in_slack(self, people: Iterable[Person]) -> list[str]:
        ids = [self._slack.user_by_email(person.email) for person in people if person.email]
        return [one for one in dict.fromkeys(ids) if one]


def _event(case: Case, key: str, summary: str, details: Mapping[str, str]) -> PageEvent:
    link = details.get("dashboard", "")
    links = ((link, "dashboard"),) if link else ()
    return PageEvent(key, summary, case.cluster, "critical", details, links)


def _database_key(case: Case) -> str:
    return f"{case.id}/database-team"
