"""Can be taken back: what is added is new and may be empty."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no type hints
    """A column more."""

    dependencies = (("shop", "0001_initial"),)
    operations = (migrations.AddField("product", "sku", models.CharField(max_length=20, null=True)),)
