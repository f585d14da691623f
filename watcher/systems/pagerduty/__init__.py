"""PagerDuty: Events API v2 to open and resolve incidents, REST API v2 to find them, read them and see who is on call.

`client` has the calls, `values` what goes in and out, `events` what an event may hold, `calling` one attempt at a
request, `answers` the reading of what comes back.
"""

from watcher.systems.pagerduty.client import PagerDuty
from watcher.systems.pagerduty.values import Incident, OpenIncident, PageEvent, PagerDutySettings, Person, Severity

__all__ = ["Incident", "OpenIncident", "PageEvent", "PagerDuty", "PagerDutySettings", "Person", "Severity"]
