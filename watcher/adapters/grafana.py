"""Grafana as the dashboard step wants it: links to the service's dashboard, and marks that are set once."""

from __future__ import annotations

from contextlib import suppress

from watcher.runbook.case import Case
from watcher.runbook.dashboards import dashboard_link
from watcher.systems.grafana import Annotation, Grafana

BEFORE = 900.0  # seconds before the rollout that the linked range shows
AROUND = 60.0  # seconds around an instant in which its mark is looked for


class GrafanaDashboards:
    """Grafana as the step uses it. `url` is its own address, `path` the service's dashboard; "" where there is none."""

    def __init__(self, client: Grafana, url: str, path: str) -> None:
        self._client = client
        self._url = url
        self._path = path

    def link(self, case: Case, until: float | None) -> str:
        """The Deployment's own dashboard, which its annotation names, else the config's; "" where neither is a URL."""
        subject, since = (case.namespace, case.deployment), case.rollout_started - BEFORE
        for path in (str(case.result("confirm", "dashboard") or ""), self._path):
            with suppress(ValueError):  # anybody may write the annotation
                if path:
                    return dashboard_link(self._url, path, subject, since, until)
        return ""

    def mark(self, case: Case, what: str, text: str, at: float) -> None:
        """Write the annotation unless it is there."""
        tags = ("canary-watch", what, f"case:{case.uid}-r{case.bad}", f"cluster:{case.cluster}")
        if not self._client.annotated(tags, at - AROUND, at + AROUND):
            more = (f"region:{case.region}", f"namespace:{case.namespace}", f"deployment:{case.deployment}")
            self._client.annotate(Annotation(text, (*tags, *more), at))
