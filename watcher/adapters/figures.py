"""Prometheus and databases as the steps after (and before) a rollback want them."""

from __future__ import annotations

from pathlib import Path

from watcher.judgement.impact import Impact
from watcher.policy.model import SchemaQuery
from watcher.runbook.case import Case
from watcher.runbook.chart import draw
from watcher.runbook.evidence import Evidence
from watcher.systems.database import SchemaSource, schema_version
from watcher.systems.secret_file import SecretFile


class PrometheusFigures:
    """The chart as a picture, and the impact."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def chart(self, case: Case, until: float) -> bytes | None:
        """The breached check as a PNG."""
        chart = self._evidence.chart(case, until)
        return draw(chart) if chart else None

    def impact(self, case: Case, until: float) -> Impact:
        """How many requests were affected, and for how long."""
        return self._evidence.impact(case, until)


def read_schema(query: SchemaQuery) -> str:
    """Read a schema's version from its database. Raises Fault."""
    source = SchemaSource(SecretFile(Path(query.dsn_file)), query.query, query.parameters, query.empty)
    return schema_version(source)
