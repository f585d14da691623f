"""What every command that talks to the cluster needs first: its config, its policies, its connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from watcher import settings as config_file
from watcher.daemon import Daemon
from watcher.documents import Mistake
from watcher.policy import loading
from watcher.systems.kubernetes import Connection


@dataclass(frozen=True, slots=True)
class Target:
    """The command line's common part: the config file, and which cluster."""

    config: Path | None
    kubeconfig: str | None = None
    context: str | None = None


def open_cluster(target: Target) -> Connection:
    """Connect to the cluster: in-cluster first, then kubeconfig and context. Raises Fault."""
    return Connection.open(target.kubeconfig, target.context)


def build(target: Target, *, dry_run: bool, err: TextIO) -> Daemon | None:
    """Put the daemon together from its files; None where they hold mistakes, each of which is written to `err`.

    Nothing is started or asked yet. Raises Fault where no cluster is configured.
    """
    assert target.config is not None
    settings, mistakes = config_file.load(target.config)
    if settings is None:
        _tell(mistakes, err)
        return None
    policies, wrong = loading.load([settings.policies])
    every = [*mistakes, *wrong, *config_file.missing_files(settings), *config_file.check_against(settings, policies)]
    if every:
        _tell(every, err)
        return None
    return Daemon(settings, policies, open_cluster(target), dry_run=dry_run)


def _tell(mistakes: Iterable[Mistake], err: TextIO) -> None:
    for mistake in mistakes:
        err.write(f"{mistake}\n")
