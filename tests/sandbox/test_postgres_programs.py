"""Where PostgreSQL's programs come from, with apt-get and dpkg-deb played by scripts: nothing here needs a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from watcher.sandbox import postgres_programs
from watcher.sandbox.postgres_programs import NEEDED, PostgresMissing, Programs, find_programs

HOME = "postgresql-15.18-0+deb12u1"
DOWNLOADS = """
for option in "$@"; do case "$option" in Dir::Cache=*) at=${option#*=}/archives;; esac; done
echo package > "$at/postgresql-15_15.18-0+deb12u1_amd64.deb"
echo package > "$at/libpq5_15.18-0+deb12u1_amd64.deb"
"""
UNPACKS = """
mkdir -p "$3/usr/lib/postgresql/15/bin" "$3/usr/lib/x86_64-linux-gnu"
for name in initdb postgres psql pg_isready; do
  echo "#!/bin/sh" > "$3/usr/lib/postgresql/15/bin/$name"; chmod +x "$3/usr/lib/postgresql/15/bin/$name"
done
"""


class Machine:
    """A machine with nothing on PATH but what a test puts there, no PostgreSQL installed, and an empty cache."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.cache = folder / "cache" / "canary-watch"
        self.installed = folder / "installed"
        self.calls = folder / "calls"
        self.bin.mkdir()

    def add(self, program: str, script: str) -> None:
        """Put a shell script on PATH that notes its last argument and then does `script`."""
        path = self.bin / program
        note = f'for last in "$@"; do :; done\necho {program} "${{last##*/}}" >> {self.calls}'
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{note}\n{script}\n")
        path.chmod(0o755)

    def install(self, folder: Path) -> Path:
        """Put the programs there."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in NEEDED:
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
        return folder

    def called(self) -> list[str]:
        """The program and last argument of each call so far."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def kept(self) -> list[str]:
        """What is in the cache but the lock."""
        return sorted(path.name for path in self.cache.iterdir() if path.name != "postgresql.lock")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Make this process's environment that of such a machine."""
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(postgres_programs, "INSTALLED", made.installed)
    return made


def test_the_newest_installed_version_is_taken(machine: Machine) -> None:
    """Of Debian's versions the newest complete one; what is on PATH comes before it; nothing is fetched."""
    machine.add("apt-get", DOWNLOADS)
    machine.install(machine.installed / "9" / "bin")
    newest = machine.install(machine.installed / "15" / "bin")
    (machine.installed / "16" / "bin").mkdir(parents=True)  # a client's package alone
    assert find_programs() == Programs(newest)
    machine.install(machine.bin)
    assert find_programs() == Programs(machine.bin)
    assert machine.called() == []


def test_debian_s_packages_are_unpacked_and_kept(machine: Machine) -> None:
    """The server and what it needs are downloaded once, never installed, and kept with their libraries."""
    machine.add("apt-get", DOWNLOADS)
    machine.add("dpkg-deb", UNPACKS)
    home = machine.cache / HOME
    found = Programs(home / "usr/lib/postgresql/15/bin", (home / "usr/lib/x86_64-linux-gnu",))
    assert find_programs() == find_programs() == found
    assert machine.called() == ["apt-get postgresql", "dpkg-deb all", "dpkg-deb all"]
    assert machine.kept() == [HOME]


def test_a_fresh_machine_s_lists_are_fetched(machine: Machine) -> None:
    """Where apt doesn't know the packages yet it gets lists of its own, and a broken mirror doesn't matter."""
    lists = machine.bin / "lists"
    update = f"case $* in *update) touch {lists}; exit 100;; esac"
    machine.add("apt-get", f"{update}\n[ -e {lists} ] || exit 100\n{DOWNLOADS}")
    machine.add("dpkg-deb", UNPACKS)
    assert (find_programs().folder / "postgres").exists()
    assert machine.called()[:3] == ["apt-get postgresql", "apt-get update", "apt-get postgresql"]


@pytest.mark.parametrize("present", [(), ("apt-get",), ("dpkg-deb",)])
def test_a_machine_that_isn_t_debian_is_told_what_to_do(machine: Machine, present: tuple[str, ...]) -> None:
    """Without apt-get or dpkg-deb the message names what is missing and the way out."""
    for program in present:
        machine.add(program, "")
    with pytest.raises(PostgresMissing, match=r"no PostgreSQL, and no .* install PostgreSQL's server, or put"):
        find_programs()


def test_a_machine_without_network_is_told_what_to_do(machine: Machine) -> None:
    """The message holds apt's own complaint and the way out; nothing is left behind."""
    machine.add("apt-get", "echo 'W: retrying' >&2; echo 'E: Could not resolve mirror.example' >&2; exit 100")
    machine.add("dpkg-deb", UNPACKS)
    with pytest.raises(PostgresMissing, match=r"Could not resolve mirror.example.* or let apt-get reach"):
        find_programs()
    assert machine.kept() == []


@pytest.mark.parametrize("script", ["exit 2", "mkdir -p $3/usr/lib/postgresql/15/bin"])
def test_packages_that_can_t_be_unpacked_leave_nothing(machine: Machine, script: str) -> None:
    """Half a server is never taken for a whole one, then or later."""
    machine.add("apt-get", DOWNLOADS)
    machine.add("dpkg-deb", script)
    with pytest.raises(PostgresMissing):
        find_programs()
    assert machine.kept() == []
    machine.add("dpkg-deb", UNPACKS)
    assert (find_programs().folder / "postgres").exists()


def test_a_server_that_apt_takes_for_installed_is_told(machine: Machine) -> None:
    """Where apt has nothing to download, that is said."""
    machine.add("apt-get", "")
    machine.add("dpkg-deb", UNPACKS)
    with pytest.raises(PostgresMissing, match="installed, but not where it belongs"):
        find_programs()


def test_a_cache_that_can_t_be_written_is_told(machine: Machine) -> None:
    """A cache folder that is a file ends in the same message, not in a stack trace."""
    machine.add("apt-get", DOWNLOADS)
    machine.add("dpkg-deb", UNPACKS)
    machine.cache.parent.write_text("")
    with pytest.raises(PostgresMissing, match="install PostgreSQL's server"):
        find_programs()
