"""What the stand-ins' sockets do with clients that die."""

from __future__ import annotations

import socket

from watcher.sandbox.jira import Jira
from watcher.sandbox.slack import Slack


def test_half_a_request_is_not_carried_out() -> None:
    """A client that is killed while it sends has sent nothing, and has broken no rule of the vendor's."""
    for stand_in in (Slack("xoxb-1"), Jira("token")):
        with stand_in as api, socket.create_connection(("127.0.0.1", api.port), timeout=5) as client:
            client.sendall(b"POST /api/chat.postMessage HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b"", "the connection is closed without an answer"
            assert (api.requests, api.violations) == ([], [])
