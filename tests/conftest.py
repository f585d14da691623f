"""What every suite shares: the one rule about parts that a machine may lack."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.controlplane.fixtures"]


def require(component: str, present: bool) -> None:
    """Skip the test, naming the component, where it is missing; fail instead where `CI=true` promises every part."""
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing: {component}", pytrace=False)
    pytest.skip(f"missing: {component}")
