"""The contract runs twice: what the real control plane does, the embedded cluster must do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.bed import Bed, bed_on


@pytest.fixture(params=["embedded", "real"])
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """A fresh namespace on either cluster."""
    with bed_on(request.getfixturevalue(f"{request.param}_cluster")) as bed:
        yield bed
