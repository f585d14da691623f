"""The shop's real migrations on a real PostgreSQL: what Django says about taking each back, and the version seen."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from watcher.sandbox.postgres import ADMIN, PostgresServer
from watcher.systems.database import SchemaSource, schema_version
from watcher.systems.secret_file import SecretFile

SHOP = Path(__file__).parent
DJANGO_MIGRATIONS = "SELECT name FROM django_migrations WHERE app = %s ORDER BY id DESC LIMIT 1"
VERSIONS = ("0001_initial", "0002_add_sku", "0003_remove_legacy_note", "0004_load_prices", "0005_delete_legacy")
PLANS = {
    "0002_add_sku": "Undo Add field sku to product",
    "0003_remove_legacy_note": "Undo Remove field legacy_note from product",
    "0004_load_prices": "Raw Python operation -> IRREVERSIBLE",
    "0005_delete_legacy": "Undo Delete model Legacy",
}
Manage = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def name(postgres: PostgresServer) -> str:
    """A database of the test's own."""
    made = f"django_shop_{uuid.uuid4().hex[:8]}"
    postgres.create_database(made)
    return made


@pytest.fixture
def manage(postgres: PostgresServer, name: str) -> Manage:
    """`manage.py` with these arguments, on the test's database."""
    environment = {
        **os.environ,
        "DATABASE_HOST": postgres.host,
        "DATABASE_PORT": str(postgres.port),
        "DATABASE_NAME": name,
        "DATABASE_USER": ADMIN,
        "DATABASE_PASSWORD": postgres.passwords[ADMIN],
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=SHOP, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.fixture
def version(postgres: PostgresServer, name: str, tmp_path: Path) -> Callable[[], str]:
    """What the adapter sees."""
    dsn = tmp_path / "dsn"
    dsn.write_text(postgres.dsn(name))
    source = SchemaSource(SecretFile(dsn), DJANGO_MIGRATIONS, ("shop",), empty="zero")
    return lambda: schema_version(source)


def planned(manage: Manage, target: str) -> list[str]:
    """The lines of the plan to go to `target`."""
    done = manage("migrate", "shop", target, "--plan")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_way_back_is_planned_in_django_s_words(manage: Manage, version: Callable[[], str]) -> None:
    """The plan of each down migration names what would be undone, what can't be, and changes nothing."""
    for number, name in enumerate(VERSIONS):
        done = manage("migrate", "shop", name)
        assert done.returncode == 0, done.stderr
        assert version() == name
        assert planned(manage, name) == ["Planned operations:", "  No planned migration operations."]
        if name in PLANS:
            plan = planned(manage, VERSIONS[number - 1])
            assert plan == ["Planned operations:", f"shop.{name}", f"    {PLANS[name]}"]
            assert version() == name


def test_going_back_stops_at_the_irreversible_one(manage: Manage, version: Callable[[], str]) -> None:
    """What comes before the irreversible migration is taken back, then Django refuses, and the version says so."""
    assert manage("migrate", "shop").returncode == 0
    plan = planned(manage, "0001_initial")
    assert plan[1::2] == [f"shop.{name}" for name in reversed(VERSIONS[1:])]
    refused = manage("migrate", "shop", "0003_remove_legacy_note")
    assert refused.returncode != 0
    assert "IrreversibleError" in refused.stderr
    assert version() == "0004_load_prices", "0005 was taken back before Django came to 0004"


def test_a_reversible_migration_is_taken_back(
    manage: Manage, version: Callable[[], str], postgres: PostgresServer, name: str
) -> None:
    """After the down migration the table and the version are those of the older code, down to none at all."""
    assert manage("migrate", "shop", "0003_remove_legacy_note").returncode == 0
    for target in ("0002_add_sku", "0001_initial"):
        done = manage("migrate", "shop", target)
        assert done.returncode == 0, done.stderr
        assert version() == target
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'shop_product' ORDER BY 1"
    assert postgres.execute(name, columns) == ["id", "legacy_note", "name", "price"]
    assert manage("migrate", "shop", "zero").returncode == 0
    assert version() == "zero"


def test_an_unknown_target_is_refused(manage: Manage) -> None:
    """A version that the code doesn't have is an error of Django's, not a plan."""
    refused = manage("migrate", "shop", "0009_never", "--plan")
    assert refused.returncode != 0
    assert "Cannot find a migration matching '0009_never'" in refused.stderr


def test_models_and_migrations_agree(manage: Manage) -> None:
    """The project is a sound one: its migrations lead to its models."""
    done = manage("makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
