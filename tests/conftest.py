"""What every suite shares: the one rule about parts that a machine may lack."""

from __future__ import annotations

import os
from collections.abc import Generator

import hypothesis
import pytest

# A loaded machine makes no example slower than it is; what must not hang has pytest's own timeout.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

pytest_plugins = ["tests.controlplane.fixtures", "tests.postgres_fixture"]


def require(component: str, present: bool) -> None:
    """Skip the test, naming the component, where it is missing; fail instead where `CI=true` promises every part."""
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing: {component}", pytrace=False)
    pytest.skip(f"missing: {component}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take longest, so that none of them is left over at the end for one worker alone."""
    longest = ("test_kills", "test_faults", "scenarios", "controlplane")
    items.sort(key=lambda item: next((i for i, name in enumerate(longest) if name in item.nodeid), len(longest)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let all tests that miss the same component be skipped here, so that the summary names it in one line."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and report.longrepr[2].startswith("Skipped: missing: "):
        report.longrepr = (__file__, require.__code__.co_firstlineno, report.longrepr[2])
    return report
