"""What any outside system's failure looks like to the rest of the daemon: vendor exceptions stop at `systems/`."""

from __future__ import annotations


class Fault(Exception):
    """An outside system did not do what it was asked.

    `system` is its name ("PagerDuty"), `said` one line for people, free of secrets. `retry_after` is the wait in
    seconds that the system asked for, None where it asked for none. `lasting` says that the same request will fail
    again until somebody changes something (a revoked token); it is retried all the same, for people do.
    """

    def __init__(self, system: str, said: str, *, retry_after: float | None = None, lasting: bool = False) -> None:
        super().__init__(f"{system}: {said}")
        self.system = system
        self.said = said
        self.retry_after = retry_after
        self.lasting = lasting
