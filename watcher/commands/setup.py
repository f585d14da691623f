"""What `run` and `status` need first: config, policies and a connection, put together to a daemon."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from watcher import settings as config_file
from watcher.commands.arguments import Target
from watcher.daemon import Daemon
from watcher.documents import Mistake
from watcher.policy import loading
from watcher.systems.kubernetes import Connection


def build(config: Path, target: Target, *, dry_run: bool, looks_only: bool, err: TextIO) -> Daemon | None:
    """Put the daemon together from its files; None where they hold mistakes, each of which is written to `err`.

    One that `looks_only` never reads a secret file of the vendors, so these may be missing: people look from machines
    of their own. Nothing is started or asked yet. Raises Fault where no cluster is configured.
    """
    settings, mistakes = config_file.load(config)
    if settings is None:
        _tell(mistakes, err)
        return None
    policies, wrong = loading.load([settings.policies])
    missing = () if looks_only else (*config_file.missing_files(settings), *loading.missing_files(policies))
    every = [*mistakes, *wrong, *missing, *config_file.check_against(settings, policies)]
    if every:
        _tell(every, err)
        return None
    return Daemon(settings, policies, Connection.open(target.kubeconfig, target.context), dry_run=dry_run)


def _tell(mistakes: Sequence[Mistake], err: TextIO) -> None:
    for mistake in mistakes:
        err.write(f"{mistake}\n")
    counted = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    err.write(f"canary-watch: {counted} in the files above; nothing was started\n")
