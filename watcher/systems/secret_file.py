"""A secret that lives in a mounted file. Every system that needs a token or a key reads it here, for each request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from watcher.systems.fault import Fault

SYSTEM = "Secret file"


@dataclass(frozen=True, slots=True)
class SecretFile:
    """The file that holds a secret. Its repr shows the path alone.

    Nothing is kept in memory: a Secret mount swaps symlinks when the Secret changes, and reading a few bytes for each
    request is simpler than noticing that.
    """

    path: Path

    def read(self) -> str:
        """Return the secret as it is in the file now, without the newline that editors put at its end.

        Raises Fault, which names the file and never what is in it, if the file can't be read, is empty, or holds a
        character that no HTTP header can carry.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise self._fault(f"can't be read ({error.strerror})") from None
        secret = content.decode("latin-1").rstrip("\r\n")
        if not secret:
            raise self._fault("is empty")
        if not (secret.isascii() and secret.isprintable()):
            raise self._fault("holds a control character or one outside ASCII")
        return secret

    def _fault(self, said: str) -> Fault:
        return Fault(SYSTEM, f"{self.path} {said}", lasting=True)
