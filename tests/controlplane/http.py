"""A plain HTTP client for tests: what it gets is what the API server said."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import requests

Json = dict[str, Any]
T = TypeVar("T")

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
TIMEOUT = 10.0


class Http:
    """Requests to one API server; answers come back whatever their status, but for `get`, `create` and `change`."""

    def __init__(self, url: str, token: str, ca_file: Path | None = None) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {token}"
        if ca_file:
            self.session.verify = str(ca_file)

    def request(self, method: str, path: str, body: object = None, form: str = "application/json") -> requests.Response:
        """Send one request with `body` as JSON of media type `form`."""
        data = None if body is None else json.dumps(body)
        return self.session.request(method, self.url + path, data=data, headers={"Content-Type": form}, timeout=TIMEOUT)

    def get(self, path: str) -> Json:
        """Read what must be there."""
        return succeeded(self.request("GET", path))

    def create(self, path: str, body: Json) -> Json:
        """Create what must not be refused."""
        return succeeded(self.request("POST", path, body))

    def change(self, path: str, body: object, form: str = MERGE_PATCH) -> Json:
        """Patch what must not be refused."""
        return succeeded(self.request("PATCH", path, body, form))

    def watch(self, path: str, enough: Callable[[list[Json]], bool]) -> list[Json]:
        """Collect a watch's events until there are enough or the server ends it (`timeoutSeconds` in `path`)."""
        events: list[Json] = []
        with self.session.get(self.url + path, stream=True, timeout=TIMEOUT) as answer:
            assert answer.status_code == 200, answer.text
            for line in answer.iter_lines(chunk_size=None):
                events.append(json.loads(line))
                if enough(events):
                    break
        return events


def succeeded(answer: requests.Response) -> Json:
    """The document of an answer that must be a success."""
    assert answer.ok, f"{answer.request.method} {answer.request.path_url}: {answer.status_code} {answer.text}"
    document: Json = answer.json()
    return document


def until(look: Callable[[], T | None], timeout: float = 30.0) -> T:
    """Look again until something true is seen, and return it; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not seen within {timeout:g} s"
        time.sleep(0.02)
    return seen
