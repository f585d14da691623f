"""Destroys data: Django can create the table again, but not what was in it."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no type hints
    """A table less."""

    dependencies = (("shop", "0004_load_prices"),)
    operations = (migrations.DeleteModel("Legacy"),)
