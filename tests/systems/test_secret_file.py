"""Secrets in mounted files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from watcher.systems.fault import Fault
from watcher.systems.secret_file import SecretFile


def test_the_newline_at_the_end_is_not_part_of_the_secret(tmp_path: Path) -> None:
    """A secret written by an editor reads as it was meant."""
    path = tmp_path / "token"
    path.write_text("s3cr3t\r\n")
    assert SecretFile(path).read() == "s3cr3t"


def test_a_swapped_mount_is_seen_at_once(tmp_path: Path) -> None:
    """A Secret that the kubelet swaps by its `..data` symlink is read anew, even with equal length and times."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(f"secret-{version}")
        os.utime(tmp_path / version / "token", (1_700_000_000, 1_700_000_000))
    data = tmp_path / "..data"
    data.symlink_to("one")
    (tmp_path / "token").symlink_to("..data/token")
    secret = SecretFile(tmp_path / "token")
    assert secret.read() == "secret-one"
    (tmp_path / "..data_tmp").symlink_to("two")
    (tmp_path / "..data_tmp").replace(data)
    assert secret.read() == "secret-two"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read (No such file or directory)"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"s3cr3t\nsecond", "holds a control character or one outside ASCII"),
        (b"s3cr3t\x00", "holds a control character or one outside ASCII"),
        ("s3cr3t\u2019".encode(), "holds a control character or one outside ASCII"),
    ],
)
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    """Whatever is wrong with the file, the Fault names the file and shows nothing of its content."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Fault) as raised:
        SecretFile(path).read()
    assert raised.value.said == f"{path} {said}"
    assert raised.value.lasting
    assert "s3cr3t" not in str(raised.value)


def test_the_repr_shows_the_path_alone(tmp_path: Path) -> None:
    """A secret file may be logged."""
    path = tmp_path / "token"
    path.write_text("s3cr3t")
    secret = SecretFile(path)
    secret.read()
    assert repr(secret) == f"SecretFile(path={path!r})"
