"""Jira Cloud, REST API v3: finds, files and fills tickets. The runbook's follow-up step calls it.

Nothing is retried here: a ticket whose answer was lost must be looked up, not filed again, and a search may take
seconds to show it (https://developer.atlassian.com/cloud/jira/platform/search-and-reconcile). The account needs the
project permissions Browse Projects, Create Issues, Add Comments and Create Attachments, and Schedule Issues for a due
date. Pages cited are below https://developer.atlassian.com/cloud/jira/platform/.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
import urllib3

from watcher.systems.fault import Fault
from watcher.systems.secret_file import SecretFile

SYSTEM = "Jira"
KEY = re.compile(r"[A-Z][A-Z0-9_]+-[0-9]+")
SUMMARY_LIMIT = 255
"""Jira answers "Summary can't exceed 255 characters." Counted in UTF-16, as Java counts: an emoji is two."""
COMMENTS_PAGE, COMMENTS_PAGES, PAGES_TIMEOUTS = 100, 50, 6
"""5,000 comments, which are more than anybody reads; all of them have to come within six timeouts."""
ANSWER_LIMIT = 8 * 1024 * 1024
"""Bytes: 100 comments of 32,767 characters, with room for their markup."""
PART, LINE_LIMIT = 256 * 1024, 500
LASTING = frozenset({301, 308, 400, 401, 403, 404, 405, 410, 413})
ADVICE = {
    **dict.fromkeys((301, 302, 303, 307, 308), "it leads elsewhere: check the address"),
    401: "check the e-mail and the API token",
    403: "the account lacks a permission, or has to log in once in a browser",
    413: "the attachment is larger than this Jira takes",
}
DUE_ADVICE = "put Due date on the project's create screen and let the account schedule issues"
NOT_LOGGED_IN = re.compile("AUTHENTICATED_FAILED|AUTHENTICATION_DENIED")
"""What X-Seraph-LoginReason says where a bad token makes a stranger of us: a 200 that shows nothing, as if all were
well (basic-auth-for-rest-apis: "if you don't log in, you access Jira anonymously")."""
CREDENTIALS = re.compile(r"(?i)\b(basic|bearer)\s+\S+")
_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class JiraSettings:
    """Where Jira is and who calls. `url` is the site, https://example.atlassian.net.

    With `email`, `token` is that account's API token; without, a personal access token. `timeout` is in seconds, for
    connecting and for each wait for data.
    """

    url: str
    email: SecretFile | None
    token: SecretFile
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket; `url` is for people."""

    key: str
    url: str


@dataclass(frozen=True, slots=True)
class NewTicket:
    """What to file. `description` is an Atlassian document (apis/document/structure), `due` a date, YYYY-MM-DD.

    `project` is a key, `issue_type` a name; labels hold no spaces. A longer `summary` is cut to what Jira takes.
    """

    project: str
    issue_type: str
    summary: str
    description: Mapping[str, Any]
    labels: tuple[str, ...]
    due: str | None


class Jira:
    """The calls that the runbook makes. Every method raises Fault when Jira doesn't do what it was asked.

    A session and the secrets are taken afresh for each request, so that calls may come from several threads and a
    changed secret counts at once.
    """

    def __init__(self, settings: JiraSettings) -> None:
        self._settings = settings

    def find(self, project: str, label: str) -> Ticket | None:
        """Return the oldest ticket of `project` with `label`, None if search shows none (rest/v3, search/jql)."""
        jql = f"project = {_quoted(project)} AND labels = {_quoted(label)} ORDER BY created ASC, key ASC"
        answer = self._ask("POST", "search/jql", json={"jql": jql, "fields": ["key"], "maxResults": 1})
        found = _field(answer, "issues", list)
        return self._ticket(found[0]) if found else None

    def create(self, new: NewTicket) -> Ticket:
        """File a ticket and return it."""
        fields = {
            "project": {"key": new.project},
            "issuetype": {"name": new.issue_type},
            "summary": _cut(" ".join(new.summary.split()), SUMMARY_LIMIT),
            "description": dict(new.description),
            "labels": list(new.labels),
            **({"duedate": new.due} if new.due else {}),
        }
        return self._ticket(self._ask("POST", "issue", json={"fields": fields}))

    def comments_with(self, key: str, marker: str) -> bool:
        """Whether some comment's text contains `marker`. Reads the newest comments first, page by page."""
        path = f"{_path(key)}/comment"
        until = time.monotonic() + PAGES_TIMEOUTS * self._settings.timeout
        start = 0
        for _ in range(COMMENTS_PAGES):
            page = {"startAt": start, "maxResults": COMMENTS_PAGE, "orderBy": "-created"}
            answer = self._ask("GET", path, params=page)
            comments, total = _field(answer, "comments", list), _field(answer, "total", int)
            if any(marker in _text(comment.get("body")) for comment in map(_object, comments)):
                return True
            start += len(comments)
            if not comments or start >= total:
                return False
            if time.monotonic() > until:
                break
        raise Fault(SYSTEM, f"the comments of {key} are too many, or come too slowly, to look through")

    def comment(self, key: str, document: Mapping[str, Any]) -> None:
        """Write a comment, an Atlassian document, on a ticket."""
        _field(self._ask("POST", f"{_path(key)}/comment", json={"body": dict(document)}), "id", str)

    def attachments(self, key: str) -> frozenset[str]:
        """Return the names of the files on a ticket."""
        fields = _field(self._ask("GET", _path(key), params={"fields": "attachment"}), "fields", dict)
        return frozenset(_field(file, "filename", str) for file in _field(fields, "attachment", list))

    def attach(self, key: str, name: str, content: bytes, media_type: str) -> None:
        """Put a file on a ticket. Jira keeps files of the same name beside each other: look at `attachments` first.

        Without the header `X-Atlassian-Token: no-check` Jira blocks the request (rest/v3, Add attachment).
        """
        headers = {"X-Atlassian-Token": "no-check"}
        files = {"file": (name, content, media_type)}
        answer = self._ask("POST", f"{_path(key)}/attachments", headers=headers, files=files)
        _field(answer[0] if isinstance(answer, list) and answer else None, "filename", str)

    def _ticket(self, answer: object) -> Ticket:
        key = _field(answer, "key", str)
        if not KEY.fullmatch(key):
            raise _undocumented()
        return Ticket(key, f"{self._settings.url.rstrip('/')}/browse/{key}")

    def _ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **content: Any) -> object:
        """Make one request and return the JSON of its answer, a success."""
        token = self._settings.token.read()
        email = self._settings.email.read() if self._settings.email else ""
        pair = base64.b64encode(f"{email}:{token}".encode()).decode()
        authorization = f"Basic {pair}" if email else f"Bearer {token}"
        # Unpacked, an answer could be larger than ANSWER_LIMIT; the name keeps Jira from taking us for a browser.
        sent = {"Authorization": authorization, "Accept": "application/json", "Accept-Encoding": "identity"}
        content["headers"] = sent | {"User-Agent": "canary-watch"} | dict(headers or {})
        try:
            response, body = self._exchange(method, path, content)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise Fault(SYSTEM, _unreached(error, self._settings.timeout)) from None
        return _Answer(response, body, (pair, token, email or token)).value()

    def _exchange(self, method: str, path: str, content: dict[str, Any]) -> tuple[requests.Response, bytes]:
        """Send one request; read the answer, bounded in size and time. Raises what requests and urllib3 raise."""
        timeout = self._settings.timeout
        url = f"{self._settings.url.rstrip('/')}/rest/api/3/{path}"
        body, until = bytearray(), time.monotonic() + 2 * timeout
        content |= {"timeout": (timeout, timeout), "stream": True, "allow_redirects": False}
        with requests.Session() as session:
            session.trust_env = False  # no proxy, netrc or CA bundle out of the environment
            with session.request(method, url, **content) as response:
                while part := response.raw.read1(PART):
                    body += part
                    if len(body) > ANSWER_LIMIT:
                        raise Fault(SYSTEM, f"the answer is larger than {ANSWER_LIMIT >> 20} MB")
                    if time.monotonic() > until:
                        raise Fault(SYSTEM, f"had not finished its answer after {2 * timeout:g} s")
                return response, bytes(body)


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer, to be judged. `hidden` are the secrets of its request, taken out of what is quoted from it."""

    response: requests.Response
    body: bytes
    hidden: tuple[str, ...]

    def value(self) -> object:
        """Return the answer's JSON; raises Fault if it is no success."""
        status, headers = self.response.status_code, self.response.headers
        if not 200 <= status < 300:
            raise Fault(SYSTEM, self._refusal(), retry_after=_wait(headers), lasting=status in LASTING)
        if NOT_LOGGED_IN.search(headers.get("X-Seraph-LoginReason", "")):
            raise Fault(SYSTEM, f"did not accept the credentials: {ADVICE[401]}", lasting=True)
        if not self._is_json():
            raise Fault(SYSTEM, "answered with a page that isn't JSON: check the address, and what stands before it")
        return self._json()

    def _refusal(self) -> str:
        """Say what Jira refused, in its own words where it has some (rest/v3/intro, Status codes)."""
        status = self.response.status_code
        said = list(self._own_words()) if self._is_json() else []
        if any(word.startswith("duedate: ") for word in said):
            said.append(DUE_ADVICE)
        said += [ADVICE[status]] if status in ADVICE else []
        text = f"answered HTTP {status}" + (f": {'; '.join(said)}" if said else "")
        for secret in self.hidden:
            text = text.replace(secret, "(secret)")
        return _cut(" ".join(CREDENTIALS.sub(r"\1 (secret)", text).split()), LINE_LIMIT)

    def _own_words(self) -> Iterator[str]:
        try:
            answer = _object(self._json())
        except Fault:
            return
        general, fields = answer.get("errorMessages"), _object(answer.get("errors"))
        words = [*(general if isinstance(general, list) else []), answer.get("message")]
        yield from (word for word in words if isinstance(word, str))
        yield from (f"{name}: {word}" for name, word in fields.items() if isinstance(word, str))

    def _is_json(self) -> bool:
        return self.response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"

    def _json(self) -> object:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise _undocumented() from None


def _unreached(error: Exception, timeout: float) -> str:
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"did not answer within {timeout:g} s"
    return f"can't be reached ({type(error).__name__})"


def _wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a 429 or a passing 5xx asks to wait for (rate-limiting)."""
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _quoted(text: str) -> str:
    """Return `text` as a JQL string, in which only quote, backslash and control characters mean anything."""
    escaped = (f"\\{c}" if c in '"\\' else c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return f'"{"".join(escaped)}"'


def _path(key: str) -> str:
    if not KEY.fullmatch(key):
        raise Fault(SYSTEM, f"{_cut(key, 80)!r} is no ticket's key: one looks like OPS-12", lasting=True)
    return f"issue/{key}"


def _cut(text: str, limit: int) -> str:
    """Return `text` in at most `limit` UTF-16 units."""
    units = text.encode("utf-16-le", "surrogatepass")
    return text if len(units) <= 2 * limit else units[: 2 * (limit - 1)].decode("utf-16-le", "ignore") + "…"


def _text(document: object) -> str:
    """Return the text of an Atlassian document: of its text nodes in order, with a new line at any other node."""
    texts, left = [], [document]
    while left:
        node = _object(left.pop())
        text, content = node.get("text"), node.get("content")
        texts.append(text if node.get("type") == "text" and isinstance(text, str) else "\n")
        left += reversed(content) if isinstance(content, list) else []
    return "".join(texts)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _field(value: object, name: str, kind: type[_Kind]) -> _Kind:
    found = _object(value).get(name)
    if not isinstance(found, kind):
        raise _undocumented()
    return found


def _undocumented() -> Fault:
    return Fault(SYSTEM, "answered with something that its API doesn't document")
