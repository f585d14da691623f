"""Where Prometheus's programs come from, with apt-get and dpkg-deb played by scripts: nothing here needs a network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from watcher.sandbox.prometheus import Programs, PrometheusMissing, find_programs

DOWNLOADS = "echo package > prometheus_2.42.0+ds-5_amd64.deb"
UNPACKS = """
mkdir -p all/usr/bin
for name in prometheus promtool; do echo "#!/bin/sh" > all/usr/bin/$name; chmod +x all/usr/bin/$name; done
"""


class Machine:
    """A machine with nothing on PATH but what a test puts there, and an empty cache."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.cache = folder / "cache" / "canary-watch"
        self.calls = folder / "calls"
        self.bin.mkdir()

    def add(self, program: str, script: str) -> Path:
        """Put a shell script on PATH that notes its arguments and then does `script`."""
        path = self.bin / program
        path.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin\necho {program} "$@" >> {self.calls}\n{script}\n')
        path.chmod(0o755)
        return path

    def called(self) -> list[str]:
        """The program and last argument of each call so far."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [f"{line.split()[0]} {line.split()[-1]}" for line in lines]

    def kept(self) -> list[str]:
        """What is in the cache but the lock."""
        return sorted(p.name for p in self.cache.iterdir() if p.name != "prometheus.lock")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Make this process's environment that of such a machine."""
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def test_the_program_on_path_comes_first(machine: Machine) -> None:
    """Who has Prometheus installed gets that one, and nothing is fetched."""
    machine.add("apt-get", DOWNLOADS)
    mine = machine.add("prometheus", "")
    assert find_programs() == Programs(mine, None)
    tool = machine.add("promtool", "")
    assert find_programs() == Programs(mine, tool)
    assert machine.called() == []


def test_debian_s_package_is_unpacked_and_kept(machine: Machine) -> None:
    """The package is downloaded once, never installed, and only the two programs are kept."""
    machine.add("apt-get", DOWNLOADS)
    machine.add("dpkg-deb", UNPACKS)
    home = machine.cache / "prometheus-2.42.0+ds-5"
    assert find_programs() == find_programs() == Programs(home / "prometheus", home / "promtool")
    assert os.access(home / "prometheus", os.X_OK)
    assert machine.called() == ["apt-get prometheus", "dpkg-deb all"]
    assert "download prometheus" in machine.calls.read_text()
    assert machine.kept() == [home.name]


def test_a_fresh_machine_s_lists_are_updated(machine: Machine) -> None:
    """Where apt doesn't know the package yet, its lists are fetched, and a broken mirror among them doesn't matter."""
    lists = machine.bin / "lists"
    update = f"case $* in *update) touch {lists}; exit 100;; esac"
    machine.add("apt-get", f"{update}\n[ -e {lists} ] || exit 100\n{DOWNLOADS}")
    machine.add("dpkg-deb", UNPACKS)
    assert find_programs().prometheus.exists()
    assert machine.called() == ["apt-get prometheus", "apt-get update", "apt-get prometheus", "dpkg-deb all"]


@pytest.mark.parametrize("present", [(), ("apt-get",), ("dpkg-deb",)])
def test_a_machine_that_isn_t_debian_is_told_what_to_do(machine: Machine, present: tuple[str, ...]) -> None:
    """Without apt-get or dpkg-deb the message names what is missing and the way out."""
    for program in present:
        machine.add(program, "")
    with pytest.raises(PrometheusMissing, match=r"no Prometheus on PATH, and no .* put the `prometheus` program"):
        find_programs()


def test_a_machine_without_network_is_told_what_to_do(machine: Machine) -> None:
    """The message holds apt's own complaint and the way out; nothing is left behind."""
    machine.add("apt-get", "echo 'W: retrying' >&2; echo 'E: Could not resolve mirror.example' >&2; exit 100")
    machine.add("dpkg-deb", UNPACKS)
    with pytest.raises(PrometheusMissing, match=r"Could not resolve mirror.example.* put .* on PATH, or let apt-get "):
        find_programs()
    assert machine.kept() == []


@pytest.mark.parametrize("script", ["exit 2", "mkdir -p all/usr/bin; echo half > all/usr/bin/prometheus"])
def test_a_package_that_can_t_be_unpacked_leaves_nothing(machine: Machine, script: str) -> None:
    """Half a package is never taken for a whole one, then or later."""
    machine.add("apt-get", DOWNLOADS)
    machine.add("dpkg-deb", script)
    with pytest.raises(PrometheusMissing):
        find_programs()
    assert machine.kept() == []
    machine.add("dpkg-deb", UNPACKS)
    assert find_programs().prometheus.exists()


def test_a_cache_that_can_t_be_written_is_told(machine: Machine) -> None:
    """A cache folder that is a file ends in the same message, not in a stack trace."""
    machine.add("apt-get", DOWNLOADS)
    machine.add("dpkg-deb", UNPACKS)
    machine.cache.parent.write_text("")
    with pytest.raises(PrometheusMissing, match="put the `prometheus` program"):
        find_programs()
