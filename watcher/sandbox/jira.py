"""Jira Cloud's stand-in: the part of the REST API v3 that canary-watch uses, on loopback.

What it demands is what Atlassian documents; each rule cites its page below
https://developer.atlassian.com/cloud/jira/platform/ (rest/v3 has a page for each group: Issues, Issue comments, Issue
attachments, Issue search). What a correct client never causes is kept in `violations`. Documents: `adf` beside it.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from email.parser import HeaderParser
from typing import Any

from watcher.sandbox import adf
from watcher.sandbox.stand_in import RETRY_AFTER, Reply, Request, StandIn, json_reply

API = "/rest/api/3/"
SEARCH = {"jql", "fields", "maxResults"}
"""What is understood of a search; the pages name more."""
STRING = r'("(?:[^"\\]|\\["\\]|\\u[0-9a-f]{4})*")'
JQL = re.compile(rf"project = {STRING} AND labels = {STRING} ORDER BY created ASC, key ASC")
"""What is understood of JQL. Its strings are then strings of JSON, too."""
NO_DUE_DATE = "Field 'duedate' cannot be set. It is not on the appropriate screen, or unknown."
UNKNOWN_ISSUE = "Issue does not exist or you do not have permission to see it."
STRANGER = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue as it is now. `comments` are Atlassian documents, `files` (name, content), both oldest first.

    `created` is on this process's monotonic clock.
    """

    key: str
    issue_type: str
    summary: str
    description: Mapping[str, Any] | None
    labels: tuple[str, ...]
    due: str | None
    created: float
    comments: tuple[Mapping[str, Any], ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()

    @property
    def project(self) -> str:
        """The project's key."""
        return self.key.rpartition("-")[0]

    @property
    def attachments(self) -> dict[str, bytes]:
        """The files by name; of several with the same name, which `files` tells apart, the newest."""
        return dict(self.files)


class Jira(StandIn):
    """A site in memory. It knows one account, `email` with its API `token`, or without `email` a bearer token.

    `projects` are the issue types by project key, `without_due` the projects whose create screen lacks Due date.
    `index_lag` is the seconds after which search shows a new issue (search-and-reconcile: "a few seconds to minutes").
    `anonymous` takes a bad token's caller for a stranger, who may look and sees nothing, instead of answering 401.
    `issues` is a tuple of values, oldest first: read it at any time.
    """

    def __init__(self, token: str, email: str = "", projects: Mapping[str, tuple[str, ...]] | None = None) -> None:
        super().__init__()
        self.token = token
        self.email = email
        self.projects = dict(projects or {"OPS": ("Task", "Bug")})
        self.without_due: set[str] = set()
        self.index_lag = 0.0
        self.attachment_limit = 10 * 1024 * 1024
        self.anonymous = False
        self.issues: tuple[Issue, ...] = ()
        self._numbers = itertools.count(1)

    def issue(self, key: str) -> Issue | None:
        """Return the issue of this key."""
        return next((issue for issue in self.issues if issue.key == key), None)

    def add(self, project: str, summary: str, labels: tuple[str, ...] = ()) -> Issue:
        """Put an issue there as a person would, and return it."""
        return self._open(project, {"issuetype": {"name": "Task"}, "summary": summary, "labels": labels})

    def answer(self, request: Request) -> Reply:
        """Carry out one request."""
        stranger = self._stranger(request)
        if isinstance(stranger, Reply):
            return stranger
        parts = request.path.removeprefix(API).split("/") if request.path.startswith(API) else []
        calls: dict[tuple[str, ...], Callable[[Request, Issue], Reply]] = {
            ("GET",): self._show,
            ("GET", "comment"): self._comments,
            ("POST", "comment"): self._comment,
            ("POST", "attachments"): self._attach,
        }
        match request.method, parts:
            case "POST", ["search", "jql"]:
                return self._search(request, stranger)
            case "POST", ["issue"]:
                return self._create(request, stranger)
            case method, ["issue", key, *rest] if (call := calls.get((method, *rest))) is not None:
                issue = None if stranger else self.issue(key)
                if issue is None:
                    return _errors(404, UNKNOWN_ISSUE, headers=STRANGER if stranger else None)
                return call(request, issue)
            case _, ["search"]:
                return self._refuse(410, "The requested API has been removed: use /rest/api/3/search/jql")
        return self._refuse(404, f"there is no {request.method} {request.path}")

    def limited(self, request: Request) -> Reply:
        """Answer 429 with Retry-After in seconds (rate-limiting)."""
        headers = {"Retry-After": str(RETRY_AFTER), "RateLimit-Reason": "jira-burst-based"}
        return _errors(429, "Rate limit exceeded.", headers=headers)

    def _stranger(self, request: Request) -> Reply | bool:
        """Check the account (basic-auth-for-rest-apis): base64 of `email:token`, or a bearer token."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        pair = base64.b64encode(f"{self.email}:{self.token}".encode()).decode()
        if (scheme, given) == (("Basic", pair) if self.email else ("Bearer", self.token)):
            return False
        if scheme not in ("Basic", "Bearer") or not given:
            return self._refuse(401, "Authorization is neither 'Basic ...' nor 'Bearer ...'")
        return True if self.anonymous else _errors(401, "Client must be authenticated to access this resource.")

    def _search(self, request: Request, stranger: bool) -> Reply:
        """Search (Issue search, search/jql); fields default to `id`, and the key comes with any other field."""
        asked = _json_object(request)
        if asked is None or asked.keys() - SEARCH:
            return self._refuse(400, f"Invalid request payload: not JSON with {sorted(SEARCH)} alone")
        limit, fields = asked.get("maxResults", 50), asked.get("fields", ["id"])
        if not isinstance(limit, int) or not 1 <= limit <= 5000:
            return self._refuse(400, "maxResults is not between 1 and 5000")
        if not isinstance(fields, list) or not all(isinstance(name, str) for name in fields):
            return self._refuse(400, "fields is not a list of names")
        if (found := JQL.fullmatch(str(asked.get("jql")))) is None:
            return self._refuse(400, "Error in the JQL Query: it is none that this stand-in understands")
        project, label = map(json.loads, found.groups())
        if stranger:
            return json_reply(200, {"issues": [], "isLast": True}, STRANGER)
        if project not in self.projects:
            return _errors(400, f"The value '{project}' does not exist for the field 'project'.")
        indexed = time.monotonic() - self.index_lag
        shown = [i for i in self.issues if i.project == project and label in i.labels and i.created <= indexed]
        page = [{"id": i.key} | ({"key": i.key} if fields != ["id"] else {}) for i in shown[:limit]]
        return json_reply(200, {"issues": page, "isLast": len(shown) <= limit})

    def _create(self, request: Request, stranger: bool) -> Reply:
        """Create an issue (Issues, Create issue): 201, or 400 with a message for each field."""
        fields = (_json_object(request) or {}).get("fields")
        if not isinstance(fields, dict):
            return self._refuse(400, "Invalid request payload: no JSON with fields")
        project = _name(fields.get("project"), "key")
        if stranger or project not in self.projects:
            return _errors(400, fields={"project": "Specify a valid project ID or key"})
        if _name(fields.get("issuetype"), "name") not in self.projects[project]:
            return _errors(400, fields={"issuetype": "Specify a valid issue type"})
        if fields.get("duedate") is not None and project in self.without_due:
            return _errors(400, fields={"duedate": NO_DUE_DATE})
        errors = _field_errors(fields)
        for name, error in errors.items():
            self.violate(f"create: {name}: {error}")
        if errors:
            return _errors(400, fields=errors)
        issue = self._open(project, fields)
        return json_reply(201, {"id": issue.key, "key": issue.key, "self": f"{self.url}{API}issue/{issue.key}"})

    def _open(self, project: str, fields: Mapping[str, Any]) -> Issue:
        with self.lock:
            key, labels = f"{project}-{next(self._numbers)}", tuple(fields.get("labels") or ())
            kind, summary, text = fields["issuetype"]["name"], fields["summary"], fields.get("description")
            issue = Issue(key, kind, summary, text, labels, fields.get("duedate"), time.monotonic())
            self.issues = (*self.issues, issue)
            return issue

    def _show(self, request: Request, issue: Issue) -> Reply:
        """Show an issue (Issues, Get issue): those of `fields` that are asked for, separated by commas."""
        files = [{"id": str(at), "filename": name, "size": len(body)} for at, (name, body) in enumerate(issue.files)]
        known: dict[str, object] = {"summary": issue.summary, "labels": list(issue.labels), "duedate": issue.due}
        known |= {"description": issue.description, "attachment": files}
        asked = ",".join(request.query.get("fields", ["*all"])).split(",")
        shown = {name: value for name, value in known.items() if "*all" in asked or name in asked}
        return json_reply(200, {"id": issue.key, "key": issue.key, "fields": shown})

    def _comments(self, request: Request, issue: Issue) -> Reply:
        """List comments (Issue comments, Get comments): a page from `startAt` on, by their age."""
        start, most = (request.query.get(name, [usual])[0] for name, usual in (("startAt", "0"), ("maxResults", "100")))
        order = request.query.get("orderBy", ["created"])[0]
        if not (start.isdecimal() and most.isdecimal()) or order not in ("created", "-created", "+created"):
            return self._refuse(400, "startAt or maxResults is no number, or orderBy is not created or -created")
        found = [{"id": str(at), "body": body} for at, body in enumerate(issue.comments)]
        page = (found[::-1] if order == "-created" else found)[int(start) : int(start) + min(int(most), 100)]
        size = {"startAt": int(start), "maxResults": min(int(most), 100), "total": len(found)}
        return json_reply(200, {**size, "comments": page})

    def _comment(self, request: Request, issue: Issue) -> Reply:
        """Write a comment (Issue comments, Add comment): `body` is an Atlassian document that isn't empty."""
        given = _json_object(request) or {}
        error = adf.refusal(given.get("body"))
        if not error and not adf.text_of(given["body"]).strip():
            error = "Comment body can not be empty!"
        if error or given.keys() - {"body", "visibility", "properties"}:
            return self._refuse(400, f"comment: {error or 'a property is not documented'}")
        self._change(issue.key, lambda now: replace(now, comments=(*now.comments, given["body"])))
        return json_reply(201, {"id": str(len(issue.comments)), "body": given["body"]})

    def _attach(self, request: Request, issue: Issue) -> Reply:
        """Attach files (Issue attachments, Add attachment): multipart, each part named `file`, XSRF check waived."""
        if request.headers.get("X-Atlassian-Token") != "no-check":
            return self._refuse(403, "XSRF check failed: X-Atlassian-Token is not no-check")
        files = _files(request)
        if not files:
            return self._refuse(400, "the body is not multipart/form-data with files in parts named file")
        if any(len(content) > self.attachment_limit for _, content in files):
            return _errors(413, f"The file is larger than {self.attachment_limit} bytes.")
        self._change(issue.key, lambda now: replace(now, files=(*now.files, *files)))
        return json_reply(200, [{"id": name, "filename": name, "size": len(content)} for name, content in files])

    def _change(self, key: str, change: Callable[[Issue], Issue]) -> None:
        with self.lock:
            self.issues = tuple(change(issue) if issue.key == key else issue for issue in self.issues)

    def _refuse(self, status: int, message: str) -> Reply:
        """Note a broken rule and answer with it."""
        self.violate(message)
        return _errors(status, message)


def _errors(
    status: int, message: str = "", fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """Answer an ErrorCollection (rest/v3/intro, Status codes): messages, and one for each field that is wrong."""
    return json_reply(status, {"errorMessages": [message] if message else [], "errors": fields or {}}, headers)


def _json_object(request: Request) -> dict[str, Any] | None:
    if request.headers.get_content_type() != "application/json":
        return None
    try:
        value = json.loads(request.body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _name(value: object, key: str) -> str:
    return str(value.get(key)) if isinstance(value, dict) else ""


def _field_errors(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return Jira's words for each field that breaks a rule, as it gives them for such a request."""
    summary, labels, due = fields.get("summary"), fields.get("labels", []), fields.get("duedate")
    known = {"project", "issuetype", "summary", "description", "labels", "duedate"}
    errors = {name: f"Field '{name}' cannot be set." for name in sorted(fields.keys() - known)}
    texts = isinstance(labels, list) and all(isinstance(label, str) and 0 < len(label) <= 255 for label in labels)
    rules = [
        ("summary", "You must specify a summary of the issue.", isinstance(summary, str) and summary.strip()),
        ("summary", "Summary can't exceed 255 characters.", len(str(summary).encode("utf-16-le", "replace")) <= 510),
        (
            "summary",
            "The summary is invalid because it contains newline characters.",
            len(str(summary).splitlines()) < 2,
        ),
        ("labels", "labels is not a list of strings of up to 255 characters", texts),
        ("labels", "A label can't contain spaces.", not texts or not any(re.search(r"\s", label) for label in labels)),
        ("duedate", "Error parsing date string: the format is yyyy-MM-dd", due is None or _is_date(due)),
    ]
    errors |= {name: words for name, words, kept in rules if not kept}
    wrong = adf.refusal(fields["description"]) if fields.get("description") is not None else ""
    return errors | ({"description": wrong} if wrong else {})


def _is_date(text: object) -> bool:
    try:
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _files(request: Request) -> list[tuple[str, bytes]]:
    """Read the body's files; none if it isn't what it should be (RFC 7578)."""
    boundary = request.headers.get_boundary()
    if request.headers.get_content_type() != "multipart/form-data" or boundary is None:
        return []
    files = []
    for part in (b"\r\n" + request.body).split(f"\r\n--{boundary}".encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        headers = HeaderParser().parsestr(head.decode("utf-8", "replace").lstrip())
        if headers.get_param("name", header="Content-Disposition") != "file" or not headers.get_filename():
            return []
        files.append((str(headers.get_filename()), content))
    return files
