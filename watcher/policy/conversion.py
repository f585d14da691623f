"""From the policy file as written (`document`) to the values that the judgement works on (`model`).

Called for files without mistakes only, so that nothing here can fail.
"""

from __future__ import annotations

import re
from pathlib import Path

from watcher import quantities
from watcher.policy import promql
from watcher.policy.document import CheckSection, FromAnnotation, LabelNames, PolicyFile, SmokeTestSection
from watcher.policy.migrations import MigrationsSection
from watcher.policy.model import (
    SCHEMA_VERSION,
    Check,
    Labels,
    Migrations,
    Policy,
    Ratio,
    SchemaQuery,
    SmokeJob,
    SmokeProbe,
    Threshold,
    Value,
)

# The last one applied: https://docs.djangoproject.com/en/5.2/topics/migrations/#migration-files; without any, "zero" is
# what `migrate` calls that state.
DJANGO_MIGRATIONS = "SELECT name FROM django_migrations WHERE app = %s ORDER BY id DESC LIMIT 1"
DJANGO_ZERO = "zero"
DJANGO_COMMAND = ("python", "manage.py", "migrate", "$app", "$version")


def policy_of(written: PolicyFile, source: str) -> Policy:
    """Make a Policy of a policy file; `source` is its path."""
    spec = written.spec
    return Policy(
        name=written.metadata.name,
        source=source,
        namespaces=tuple(spec.match.namespaces),
        labels=dict(spec.match.labels),
        watch_for=spec.watch_for,
        verify_within=spec.verify_within,
        rollback_to=spec.rollback_to.revision if spec.rollback_to else 0,
        no_earlier_revision=spec.no_earlier_revision,
        migrations=_migrations(spec.migrations, Path(source).parent) if spec.migrations else None,
        checks=tuple(_check(check) for check in spec.checks),
    )


def _check(written: CheckSection) -> Check:
    kind = _kind(written)
    return Check(
        name=written.name,
        kind=kind,
        threshold=_threshold(written, kind),
        hold_for=written.for_ or 0.0,
        control=written.control,
    )


def _kind(written: CheckSection) -> Ratio | Value | SmokeJob | SmokeProbe:
    if written.ratio:
        ratio, least = written.ratio, written.at_least
        return Ratio(
            bad=ratio.bad,
            total=ratio.total,
            per_pod=ratio.per == "pod",
            labels=_labels(ratio.labels or written.labels),
            least_total=least.total if least else 0.0,
            least_bad=least.bad if least else 0.0,
        )
    if written.smoke_test:
        return _smoke_test(written.smoke_test)
    return Value(query=written.value or "", labels=_labels(written.labels))


def _smoke_test(written: SmokeTestSection) -> SmokeJob | SmokeProbe:
    if written.http:
        http = written.http
        return SmokeProbe(http.url, failures=http.failures, status=http.status, timeout=http.timeout)
    return SmokeJob(written.job.label) if written.job else SmokeJob()


def _labels(written: LabelNames | None) -> Labels:
    return Labels(written.namespace, written.deployment, written.pod) if written else Labels()


def _threshold(written: CheckSection, kind: Ratio | Value | SmokeJob | SmokeProbe) -> Threshold | None:
    above = written.above
    if above is None:
        return None
    fixed, annotation = (above.default, above.annotation) if isinstance(above, FromAnnotation) else (above, None)
    if fixed is not None:
        value, unit = quantities.quantity(fixed)
        return Threshold(value, fixed, unit, annotation)
    if isinstance(kind, Ratio):
        return Threshold(None, "", "ratio", annotation)
    timed = isinstance(kind, Value) and promql.metric_in_seconds(kind.query)
    return Threshold(None, "", "seconds" if timed else "number", annotation)


def _migrations(written: MigrationsSection, folder: Path) -> Migrations:
    down = written.down
    command = tuple(down.command or DJANGO_COMMAND)
    plan = tuple(down.plan or ()) if down.command else (*DJANGO_COMMAND, "--plan")
    return Migrations(
        version=_schema_query(written, folder),
        command=tuple(_with_app(word, written.app) for word in command),
        plan=tuple(_with_app(word, written.app) for word in plan),
        annotation=written.version.annotation or SCHEMA_VERSION,
        container=down.container or "",
        init_containers=tuple(down.init_containers),
        timeout=down.timeout,
        order=written.order,
        irreversible=written.irreversible,
    )


def _schema_query(written: MigrationsSection, folder: Path) -> SchemaQuery | None:
    """Paths in a policy start at its folder, as the config's do."""
    sql, django = written.version.sql, written.version.django
    if django:
        return SchemaQuery(str(folder / django.dsn_file), DJANGO_MIGRATIONS, (written.app or "",), DJANGO_ZERO)
    return SchemaQuery(str(folder / sql.dsn_file), sql.query) if sql else None


def _with_app(word: str, app: str | None) -> str:
    return re.sub(r"\$app(?!\w)", app, word) if app else word
