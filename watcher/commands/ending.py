"""How `run` is told to end: SIGTERM and SIGINT, heard from its first moment on, whatever it is doing then."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

ENDS = (signal.SIGTERM, signal.SIGINT)
DEADLINE = 1.6  # seconds from the signal to the end at the latest; 2 s are promised
_LOOK = 0.02


class Ending:
    """Once a signal has come, `told` is set, and after `DEADLINE` the process ends with `code`, whatever it waits for.

    Python runs signal handlers in the main thread, between two instructions, and that thread may be connecting, or
    writing to a log that nobody reads. So a thread of its own hears of the signal, through a pipe.
    """

    def __init__(self) -> None:
        self.told = threading.Event()
        self.code = 0
        self._heard, heard = os.pipe()
        os.set_blocking(heard, False)
        signal.set_wakeup_fd(heard, warn_on_full_buffer=False)
        for number in ENDS:
            signal.signal(number, lambda number, frame: None)
        threading.Thread(target=self._listen, name="ending", daemon=True).start()

    def wait_for(self, look: Callable[[], bool], timeout: float) -> bool:
        """Wait until `look` is true, `timeout` seconds at most and not once told to end; return whether it is."""
        latest = time.monotonic() + timeout
        while not look():
            if self.told.wait(_LOOK) or time.monotonic() > latest:
                return look()
        return True

    def _listen(self) -> None:
        os.read(self._heard, 1)
        self.told.set()
        time.sleep(DEADLINE)
        os._exit(self.code)
