"""What a container writes, standard output and standard error as one; `runners.py` fills it, the kubelet reads it."""

from __future__ import annotations

import io
import os
import threading

LARGEST = 10 * 1024 * 1024
"""Bytes kept. A kubelet starts a new file at 10 MiB (`containerLogMaxSize`), and serves the newest alone."""

_CHUNK = 65536


class Output:
    """Give `pipe` to a process as its standard output, then `collect`: from there on it belongs to the process alone.

    A pipe and no file, as containers have: a shell's `> /dev/stderr` would empty a file.
    """

    def __init__(self) -> None:
        self._source, self.pipe = os.pipe()
        self._kept = bytearray()
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="container-output", daemon=True)

    def collect(self) -> None:
        """Begin to read what is written, until every process that can write has ended."""
        os.close(self.pipe)
        self._reader.start()

    @property
    def whole(self) -> bool:
        """Whether nothing more can come."""
        return not self._reader.is_alive()

    def text(self) -> bytes:
        """What has been written so far."""
        with self._lock:
            return bytes(self._kept)

    def _read(self) -> None:
        with io.FileIO(self._source) as source:
            while chunk := source.read(_CHUNK):
                with self._lock:
                    if len(self._kept) + len(chunk) > LARGEST:
                        self._kept.clear()
                    self._kept += chunk
