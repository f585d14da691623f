"""Who may sit at a database's address besides a sound PostgreSQL: silent, dripping, refusing, or a bad line to one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

READY = b"Z\0\0\0\5I"
"""ReadyForQuery, which ends PostgreSQL's side of the login (https://www.postgresql.org/docs/15/protocol-flow.html)."""
DRIP = 0.05
Talk = Callable[["Peer", socket.socket], None]


class Peer:
    """A listening socket on loopback; `talk` has each connection to itself until the peer ends."""

    def __init__(self, talk: Talk) -> None:
        self.ended = threading.Event()
        self._talk = talk
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.accepted = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    def keep(self, connection: socket.socket) -> socket.socket:
        """Close `connection` at the end."""
        self._sockets.append(connection)
        return connection

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.ended.set()
        for one in (self._listening, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = self.keep(self._listening.accept()[0])
                self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self._talk(self, connection)


def silent(peer: Peer, connection: socket.socket) -> None:
    """Accept, and never say a word."""
    peer.ended.wait()


def dripping(peer: Peer, connection: socket.socket) -> None:
    """Begin an authentication message of 2,000 bytes and send it byte by byte."""
    connection.recv(1024)
    connection.sendall(b"R" + (2000).to_bytes(4, "big"))
    _drip(peer, connection, b"x" * 1996)


def web_server(peer: Peer, connection: socket.socket) -> None:
    """Answer as if it were asked in HTTP."""
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    connection.close()


def refusing(sqlstate: str, message: str) -> Talk:
    """Refuse whoever comes, in PostgreSQL's way."""
    fields = f"SFATAL\0VFATAL\0C{sqlstate}\0M{message}\0\0".encode()

    def talk(peer: Peer, connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        connection.close()

    return talk


def bad_line(port: int, after_login: Talk) -> Talk:
    """Lead to the PostgreSQL at `port` until it has let the client in; then `after_login` has the client."""

    def talk(peer: Peer, connection: socket.socket) -> None:
        server = peer.keep(socket.create_connection(("127.0.0.1", port)))
        upwards = threading.Thread(target=_relay, args=(connection, server), daemon=True)
        upwards.start()
        seen = b""
        while not seen.endswith(READY):
            part = server.recv(4096)
            if not part:
                return
            seen = (seen + part)[-4096:]
            connection.sendall(part)
        after_login(peer, connection)

    return talk


def cut(peer: Peer, connection: socket.socket) -> None:
    """End the connection."""
    connection.shutdown(socket.SHUT_RDWR)


def drip_rows(peer: Peer, connection: socket.socket) -> None:
    """Answer with one long row, byte by byte."""
    _drip(peer, connection, b"D" + (10_000).to_bytes(4, "big") + b"x" * 9_996)


def _drip(peer: Peer, connection: socket.socket, text: bytes) -> None:
    for byte in text:
        if peer.ended.wait(DRIP):
            return
        connection.sendall(bytes([byte]))


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(4096):
            sink.sendall(part)
