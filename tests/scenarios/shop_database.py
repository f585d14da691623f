"""A shop with a database: a PostgreSQL database of its own, and the real Django project that migrates it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watcher.sandbox.postgres import ADMIN, PostgresServer

PROJECT = Path(__file__).parents[1] / "django_shop"
INITIAL, SKU, NOTE, PRICES = "0001_initial", "0002_add_sku", "0003_remove_legacy_note", "0004_load_prices"


@dataclass
class ShopDatabase:
    """One database. The way back from SKU is reversible, from NOTE destructive, from PRICES irreversible."""

    server: PostgresServer
    name: str = field(default_factory=lambda: f"shop_{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.server.create_database(self.name)

    @property
    def env(self) -> dict[str, str]:
        """What the project's settings read."""
        return {
            "DATABASE_HOST": self.server.host,
            "DATABASE_PORT": str(self.server.port),
            "DATABASE_NAME": self.name,
            "DATABASE_USER": ADMIN,
            "DATABASE_PASSWORD": self.server.passwords[ADMIN],
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def container(self) -> dict[str, Any]:
        """The keys of a container that has the project's code and its database."""
        env = [{"name": name, "value": value} for name, value in self.env.items()]
        return {"env": env, "workingDir": str(PROJECT)}

    def migrate(self, version: str, *, fake: bool = False) -> None:
        """Migrate to a version, as the delivery pipeline does before it ships; `fake` changes the records alone."""
        command = [sys.executable, "manage.py", "migrate", "shop", version, *(["--fake"] if fake else [])]
        subprocess.run(command, cwd=PROJECT, env={**os.environ, **self.env}, check=True, capture_output=True)

    def version(self) -> str:
        """The migration that was applied last."""
        asked = "SELECT name FROM django_migrations WHERE app = 'shop' ORDER BY id DESC LIMIT 1"
        return self.server.execute(self.name, asked)[0]

    def applied(self) -> int:
        """How many migrations were ever recorded: going back and forth makes it grow."""
        return int(self.server.execute(self.name, "SELECT last_value FROM django_migrations_id_seq")[0])

    def migrations(self, dsn_file: Path, more: str = "") -> str:
        """The `migrations` part of a policy, its DSN written to `dsn_file`."""
        dsn_file.write_text(self.server.dsn(self.name))
        extra = f", {more}" if more else ""
        return f"{{app: shop, version: {{django: {{dsnFile: {dsn_file}}}}}{extra}}}"
