"""What the shop's newest code expects of the schema."""

from __future__ import annotations

from django.db import models


class Product(models.Model):  # type: ignore[misc]  # Django has no type hints
    """Something for sale."""

    name = models.CharField(max_length=100)
    sku = models.CharField(max_length=20, null=True)
    price = models.IntegerField(default=0)

    def __str__(self) -> str:
        return str(self.name)
