"""Several shops on one stage, each with a database and a policy of its own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.scenarios.files import POLICIES
from tests.scenarios.shop_database import SKU, ShopDatabase
from tests.scenarios.stage import Stage
from watcher.sandbox.postgres import PostgresServer


def migrated(postgres: PostgresServer, names: Iterable[str]) -> dict[str, ShopDatabase]:
    """A database for each Deployment, whose bad release's migration was run: copies of one, which is quick."""
    first = ShopDatabase(postgres)
    first.migrate(SKU)
    copies = {name: ShopDatabase(postgres) for name in names}
    for copy in copies.values():
        postgres.execute("postgres", f'DROP DATABASE "{copy.name}"')
        postgres.execute("postgres", f'CREATE DATABASE "{copy.name}" TEMPLATE "{first.name}"')
    return copies


def write_policy(stage: Stage, name: str, database: ShopDatabase, more: str = "") -> Path:
    """Write the policy of one Deployment, which speaks of its own database; where its DSN is."""
    dsn_file = stage.folder / f"dsn-{name}"
    spec = {
        "match": f"{{namespaces: ['*'], labels: {{app: {name}}}}}",
        "watchFor": stage.watch_for,
        "verifyWithin": stage.verify_within,
        "migrations": database.migrations(dsn_file, more),
    }
    head = f"apiVersion: canary-watch/v1\nkind: RollbackPolicy\nmetadata: {{name: {name}}}\nspec:\n"
    keys = "".join(f"  {key}: {value}\n" for key, value in spec.items())
    (stage.folder / "policies" / f"{name}.yaml").write_text(f"{head}{keys}  checks:\n{POLICIES['error-rate']}")
    return dsn_file
