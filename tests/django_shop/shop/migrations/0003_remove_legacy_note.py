"""Destroys data: Django can add the column again, but not what was in it."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no type hints
    """A column less."""

    dependencies = (("shop", "0002_add_sku"),)
    operations = (migrations.RemoveField("product", "legacy_note"),)
