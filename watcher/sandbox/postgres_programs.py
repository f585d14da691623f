"""Where PostgreSQL's programs come from; `postgres` runs them.

What is installed is taken first, else Debian's packages, unpacked into a cache folder of our own: they are never
installed, so Debian's service never runs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FETCH_TIMEOUT = 300.0
REMEDY = "install PostgreSQL's server, or put its programs (initdb, postgres, psql, pg_isready) on PATH"
INSTALLED = Path("/usr/lib/postgresql")
NEEDED = ("initdb", "postgres", "psql", "pg_isready")


class PostgresMissing(Exception):
    """PostgreSQL is neither here nor to be had; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The folder with PostgreSQL's programs, and those with libraries that the system may lack."""

    folder: Path
    libraries: tuple[Path, ...] = ()


def find_programs() -> Programs:
    """Find PostgreSQL on PATH or where Debian installs it, else in the cache, else fetch Debian's packages (100 MB).

    Raises PostgresMissing where none of these works.
    """
    on_path = shutil.which("initdb")
    beside = [Path(on_path).resolve().parent] if on_path else []
    for folder in [*beside, *_newest_first(INSTALLED)]:
        if _complete(folder):
            return Programs(folder)
    cache = _cache()
    return _cached(cache) or _fetched(cache)


def _newest_first(home: Path) -> list[Path]:
    """The folders of programs of every version in `home`, as Debian lays them out."""
    versions = [found for found in home.glob("*/bin") if found.parent.name.isdigit()]
    return sorted(versions, key=lambda found: int(found.parent.name), reverse=True)


def _complete(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in NEEDED)


def _cache() -> Path:
    """The cache folder: root's is where another user, who has to run the server, can read it."""
    home = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or home) / "canary-watch"


def _cached(cache: Path) -> Programs | None:
    homes = sorted(cache.glob("postgresql-[0-9]*"), reverse=True)
    return _programs(homes[0]) if homes else None


def _programs(home: Path) -> Programs:
    """What is in a folder of unpacked packages, which was checked before it got its name."""
    libraries = [*home.glob("usr/lib/*-linux-gnu*"), *home.glob("lib/*-linux-gnu*")]
    return Programs(_newest_first(home / "usr/lib/postgresql")[0], tuple(libraries))


def _fetched(cache: Path) -> Programs:
    missing = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise PostgresMissing(f"no PostgreSQL, and no {missing[0]} to fetch Debian's packages with: {REMEDY}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "postgresql.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever waited here finds the other's copy
            return _cached(cache) or _unpacked(cache)
    except (OSError, subprocess.SubprocessError) as error:
        raise _no_package(str(error)) from error


def _no_package(why: str) -> PostgresMissing:
    way_out = f"{REMEDY}, or let apt-get reach a Debian mirror"
    return PostgresMissing(f"no PostgreSQL, and Debian's packages can't be had ({why}): {way_out}")


def _unpacked(cache: Path) -> Programs:
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as scratch:
        folder = Path(scratch)
        packages = _downloaded(folder)
        everything = folder / "all"
        for package in packages:
            _fetching(["dpkg-deb", "-x", str(package), str(everything)], folder)
        [server] = filter(_is_server, packages)
        if not any(map(_complete, _newest_first(everything / "usr/lib/postgresql"))):
            raise _no_package(f"{server.name} lacks one of {', '.join(NEEDED)}")
        home = cache / f"postgresql-{server.name.split('_')[1]}"
        everything.rename(home)
    return _programs(home)


def _is_server(package: Path) -> bool:
    return package.name.split("_")[0].removeprefix("postgresql-").isdigit()


def _downloaded(folder: Path) -> list[Path]:
    """Download the server with all that the system lacks; where apt's lists don't do, as when fresh, with new ones."""
    # Locks and root's own folders are for installing, which this isn't.
    options = ["-o", "Debug::NoLocking=true", "-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User=root"]
    (folder / "archives" / "partial").mkdir(parents=True)
    own_lists = ["-o", f"Dir::State::lists={folder / 'lists'}"]
    (folder / "lists" / "partial").mkdir(parents=True)
    download = ["--download-only", "--yes", "--no-install-recommends", "install", "postgresql"]
    try:
        _fetching(["apt-get", *options, *download], folder)
    except PostgresMissing:
        with suppress(PostgresMissing):  # one of several mirrors is enough, and the download says whether it was
            _fetching(["apt-get", *options, *own_lists, "update"], folder)
        _fetching(["apt-get", *options, *own_lists, *download], folder)
    packages = sorted((folder / "archives").glob("*.deb"))
    if not any(map(_is_server, packages)):
        raise _no_package("apt-get downloaded no server: it is installed, but not where it belongs")
    return packages


def _fetching(command: Sequence[str], folder: Path) -> None:
    """Run `command` in `folder`; raises PostgresMissing with its last complaint if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise _no_package((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
