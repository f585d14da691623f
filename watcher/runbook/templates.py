"""Pod templates as raw JSON: compared, copied and shown without losing a field that this code doesn't know."""

from __future__ import annotations

from typing import Any


def images_of(template: dict[str, Any]) -> str:
    """List a pod template's images, as people read them: `shop:1`, or several parted by a comma."""
    return ", ".join(str(c.get("image", "")) for c in template["spec"].get("containers") or [])


def without_hash(template: dict[str, Any]) -> dict[str, Any]:
    """Copy a ReplicaSet's pod template less the `pod-template-hash` that the Deployment controller added."""
    meta = dict(template.get("metadata") or {})
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != "pod-template-hash"}
    meta["labels"] = labels
    return {**template, "metadata": meta}


def same_template(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Compare two pod templates as the Deployment controller does: all but the hash."""
    return without_hash(one) == without_hash(other)
