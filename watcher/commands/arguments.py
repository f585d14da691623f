"""What the command line is read with: one-line errors, Deployments and durations. `__main__` uses it.

It imports nothing that is slow: `--help` and a wrong command line are answered at once.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from watcher import quantities

_SHORTEST_PAUSE = 1.0  # the annotation holds whole seconds
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


class Parser(argparse.ArgumentParser):
    """argparse's, with errors in one line, and options written out: a script must not depend on an abbreviation."""

    def __init__(self, **given: Any) -> None:
        given.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**given, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and end with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster, where it isn't the pod's own: a kubeconfig file and a context in it."""

    kubeconfig: str | None
    context: str | None


@dataclass(frozen=True, slots=True)
class Subject:
    """A Deployment by namespace and name."""

    namespace: str
    deployment: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.deployment}"


def subject(text: str) -> Subject:
    """Read `NAMESPACE/DEPLOYMENT`; argparse shows the error's text."""
    namespace, _, deployment = text.partition("/")
    if not (_NAMESPACE.fullmatch(namespace) and _NAME.fullmatch(deployment)):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not NAMESPACE/DEPLOYMENT; write it as shop/checkout")
    return Subject(namespace, deployment)


def revision(text: str) -> int:
    """Read a revision's number; argparse shows the error's text."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        said = f"{text[:80]!r} is not a revision; write its number, as kubectl rollout history shows it"
        raise argparse.ArgumentTypeError(said)
    return int(text)


def pause_duration(text: str) -> float:
    """Read how long a pause lasts, in seconds; argparse shows the error's text."""
    try:
        seconds = quantities.longer_than_zero(text)
    except ValueError as error:
        said = f"{error}; leave --for out, and the pause lasts until it is resumed"
        raise argparse.ArgumentTypeError(said) from None
    if seconds < _SHORTEST_PAUSE:
        raise argparse.ArgumentTypeError(f"{text} is too short to be written down; write 1s at least")
    return seconds
