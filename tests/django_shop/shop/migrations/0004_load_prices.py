"""Can't be taken back: it doesn't say how."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def load_prices(apps: Any, schema_editor: Any) -> None:
    """Give every product a price."""
    apps.get_model("shop", "Product").objects.filter(price=0).update(price=100)


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no type hints
    """Prices."""

    dependencies = (("shop", "0003_remove_legacy_note"),)
    operations = (migrations.RunPython(load_prices),)
