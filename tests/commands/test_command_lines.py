"""The command line itself: help, wrong lines, and what needs neither a cluster nor a Prometheus."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from watcher.__main__ import main, parser

SHIPPED = Path(__file__).parents[2] / "policies"
COMMANDS = ("run", "validate", "schema", "pause", "resume", "rollback", "status")


def call(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run canary-watch to its end."""
    line = [sys.executable, *python, "-m", "watcher", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    found = next(one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    return dict(found.choices)


def test_help_lists_every_command_without_a_warning() -> None:
    """`--help` names each command, ends with 0, and writes nothing on standard error, with warnings as errors too."""
    ended = call("--help", python=("-W", "error"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(f"\n    {name} " in ended.stdout for name in COMMANDS)
    assert tuple(commands()) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_is_complete(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command's help explains each of its arguments, shows an example, and says what its exit codes mean."""
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"canary-watch {command}" in said.partition("Example")[2]
    assert "Exit codes: 0 " in said
    assert [one.dest for one in commands()[command]._actions if not one.help] == []
    assert max(map(len, said.splitlines())) <= 120


def test_help_and_validate_load_no_client() -> None:
    """Help and `validate` answer at once: no vendor's client is imported for them."""
    code = (
        "import sys\nfrom watcher.__main__ import main\n"
        f"assert main(['validate', {str(SHIPPED)!r}]) == 0\n"
        "sys.exit(' '.join({'kubernetes', 'urllib3', 'requests', 'slack_sdk', 'pdpyras'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert ended.stderr.strip() == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ([], "canary-watch: the following arguments are required: COMMAND"),
        (["ruin"], "canary-watch: argument COMMAND: invalid choice: 'ruin'"),
        (["run"], "canary-watch run: the following arguments are required: --config"),
        (["run", "--conf", "c.yaml"], "canary-watch run: the following arguments are required: --config"),
        (["run", "--config", "c.yaml", "--onec"], "canary-watch: unrecognized arguments: --onec"),
        (["validate"], "canary-watch validate: the following arguments are required: POLICY"),
        (["validate", "p", "--output", "yaml"], "canary-watch validate: argument --output: invalid choice: 'yaml'"),
        (["pause", "checkout"], "'checkout' is not NAMESPACE/DEPLOYMENT; write it as shop/checkout"),
        (["resume", "shop/checkout/x"], "'shop/checkout/x' is not NAMESPACE/DEPLOYMENT"),
        (["rollback", "shop/checkout"], "canary-watch rollback: the following arguments are required: --config"),
        (["rollback", "checkout", "--config", "c.yaml"], "'checkout' is not NAMESPACE/DEPLOYMENT"),
        (
            ["rollback", "shop/checkout", "--config", "c.yaml", "--to-revision", "0"],
            "argument --to-revision: '0' is not a revision; write its number, as kubectl rollout history shows it",
        ),
        (["resume", "Shop/checkout"], "'Shop/checkout' is not NAMESPACE/DEPLOYMENT"),
        (["pause", "shop/checkout", "--for", "2"], "argument --for: 2 has no unit; write 2s, 2m or 2h"),
        (["pause", "shop/checkout", "--for", "soon"], 'argument --for: "soon" is not a duration; write a number'),
        (["pause", "shop/checkout", "--for", "0s"], "argument --for: 0s is no time at all; write a longer one"),
        (["pause", "shop/checkout", "--for", "10ms"], "argument --for: 10ms is too short"),
        (
            ["pause", "shop/checkout", "--for", "99999999d"],
            'argument --for: "99999999d" is longer than a year; leave --for out',
        ),
    ],
)
def test_a_wrong_command_line_is_one_line(line: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line ends with 2 and one line: what is wrong, and where to read more."""
    with pytest.raises(SystemExit) as ended:
        main(line)
    streams = capsys.readouterr()
    assert (ended.value.code, streams.out, streams.err.count("\n")) == (2, "", 1)
    assert said in streams.err
    assert "--help)" in streams.err


def test_validate_takes_files_and_folders_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files and folders, each file once, with a config: mistakes of all of them, and code 1; JSON says the same."""
    (tmp_path / "bad.yaml").write_text("apiVersion: canary-watch/v1\nkind: Nothing\n")
    config = tmp_path / "config.txt"
    config.write_text('cluster: {name: c, region: r}\npolicies: .\nprometheus: {url: "http://p:9090"}\nintervall: 5s\n')
    line = ["validate", str(SHIPPED), str(SHIPPED / "error-rate.yaml"), str(tmp_path), "--config", str(config)]
    assert main(line) == 1
    text = capsys.readouterr()
    assert text.err == ""
    *mistakes, summary = text.out.splitlines()
    assert summary == f"5 files, 3 policies, 3 checks: {len(mistakes)} mistakes"
    assert f"{config}:4:1: intervall is not a key here; did you mean interval?" in mistakes
    assert f"{tmp_path / 'bad.yaml'}:2:7: " in text.out
    assert main([*line, "--output", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert len(found["files"]) == 5
    assert [f"{m['file']}:{m['line']}:{m['column']}: {m['said']}" for m in found["mistakes"]] == mistakes


def test_validate_says_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that isn't there and a folder without policies are mistakes: CI must not pass on nothing."""
    for path, said in ((tmp_path / "gone.yaml", "cannot be read"), (tmp_path, "the folder holds no policy")):
        assert main(["validate", str(path)]) == 1
        assert capsys.readouterr().out.startswith(f"{path}:1:1: {said}")


def test_schema_prints_a_schema() -> None:
    """`schema` prints JSON and nothing else."""
    ended = call("schema")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "spec" in json.loads(ended.stdout)["properties"]


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    """`canary-watch schema | head -c 1` ends quietly."""
    line = f"set -o pipefail; {sys.executable} -m watcher schema | head -c 1"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.stdout, ended.stderr) == ("{", "")


def test_closed_streams_are_no_traceback() -> None:
    """Started without standard output and standard error at all, a command still ends with its code."""
    line = f"{sys.executable} -m watcher validate {SHIPPED} >&- 2>&-"
    assert subprocess.run(["bash", "-c", line], timeout=30, check=False).returncode == 0
