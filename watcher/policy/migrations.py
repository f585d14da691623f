"""The policy file's `migrations` part: how a schema's version is read, and how a migration is taken back.

The rest of the file is in `document`; rules that take several keys are in `rules`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from watcher.policy.kinds import DURATION_SCHEMA, AppLabel, DsnFile, JobTime, Key, Name, Section, Text
from watcher.policy.model import SCHEMA_REVERSIBLE, SCHEMA_VERSION

# Rails and golang-migrate both keep their versions in a table of this name.
SCHEMA_MIGRATIONS = "SELECT max(version) FROM schema_migrations"

Command = Annotated[list[Text], Field(min_length=1, json_schema_extra={"contains": {"pattern": r"\$version(?!\w)"}})]

_DSN_FILE = (
    "The file with the connection string of a user who may only read: postgresql://user:password@host:port/database. "
    "A path that doesn't begin with / starts at the policy file's folder."
)
_DSN_EXAMPLE = "/var/run/secrets/canary-watch/checkout-dsn"


class SqlSection(Section):
    """A version that one query gives."""

    dsn_file: DsnFile = Field(description=_DSN_FILE, examples=[_DSN_EXAMPLE])
    query: Text = Field(
        default=SCHEMA_MIGRATIONS, description="SQL that reads the version: one SELECT, one row, one column."
    )


class DjangoSection(Section):
    """A version as Django keeps it: the migration of `app` that was applied last, in django_migrations."""

    dsn_file: DsnFile = Field(description=_DSN_FILE, examples=[_DSN_EXAMPLE])


class VersionSection(Section):
    """Where the schema's version is read."""

    sql: SqlSection | None = Field(
        default=None, description="From the database, by a query.", examples=[f"{{dsnFile: {_DSN_EXAMPLE}}}"]
    )
    django: DjangoSection | None = Field(
        default=None,
        description="From the database: the migration of `app` that django_migrations has last.",
        examples=[f"{{dsnFile: {_DSN_EXAMPLE}}}"],
    )
    annotation: Key | None = Field(
        default=None,
        description="From the pod templates alone: the version that each revision expects. With sql or django, "
        f"{SCHEMA_VERSION} is read besides, where it is there.",
        examples=[SCHEMA_VERSION],
    )


class DownSection(Section):
    """How a migration is taken back: a Job made from the bad revision's own pod template."""

    command: Command | None = Field(
        default=None,
        description="The command, word by word; $app and $version, the one to go back to, are filled in. Left out: "
        "python manage.py migrate $app $version.",
        examples=[["python", "manage.py", "migrate", "$app", "$version"]],
    )
    plan: Command | None = Field(
        default=None,
        description="A command that changes nothing and prints what `command` would do, as Django's `migrate --plan` "
        f"does. Left out beside a command: only the pod template's {SCHEMA_REVERSIBLE} says what can be taken back.",
        examples=[["python", "manage.py", "migrate", "$app", "$version", "--plan"]],
    )
    container: Name | None = Field(
        default=None,
        description="The template's container whose image, env and mounts the Job gets. Left out: the first.",
    )
    init_containers: list[Name] = Field(
        default=[],
        description="The template's init containers that the Job needs as well. The others are left out.",
        examples=['["database-proxy"]'],
    )
    timeout: JobTime = Field(
        default=600.0,
        description="How long a Job may take, at least 1s; it is ended and has failed then.",
        json_schema_extra={**DURATION_SCHEMA, "default": "10m"},
    )


class MigrationsSection(Section):
    """Database migrations: what the bad release did to the schema, and what is done about it."""

    app: AppLabel | None = Field(
        default=None, description="Django's app label, for $app and django_migrations.", examples=["shop"]
    )
    version: VersionSection = Field(
        description="Where the schema's version is read: one of sql, django and annotation.",
        examples=["{django: {dsnFile: /var/run/secrets/canary-watch/checkout-dsn}}"],
    )
    down: DownSection = Field(
        default_factory=DownSection,
        description="How a migration is taken back. Left out: as Django does it.",
        examples=["{command: [bin/rails, 'db:migrate', VERSION=$version]}"],
    )
    order: Literal["before", "after"] = Field(
        default="after", description="Whether the migration is taken back before or after the Deployment."
    )
    irreversible: Literal["hold", "revert"] = Field(
        default="hold",
        description="What is done about a migration that can't be taken back or has dropped data: hold leaves the "
        "Deployment as it is, revert takes the Deployment back and leaves the schema. Either pages.",
    )
