"""How the embedded API server says no: the `Status` objects of a real one, raised as exceptions."""

from __future__ import annotations

from typing import Any

from watcher.sandbox.cluster.kinds import Kind, Object


class Refusal(Exception):
    """An answer other than success. `status` is the `Status` object that the client gets, under HTTP status `code`."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            **({"reason": reason} if reason else {}),
            **({"details": details} if details is not None else {}),
            "code": code,
        }


def about(kind: Kind, name: str, **more: Any) -> Object:
    """The `details` that name an object."""
    return {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural, **more}


def bad_request(message: str) -> Refusal:
    """400: the request itself makes no sense."""
    return Refusal(400, "BadRequest", message)


def not_found(kind: Kind, name: str) -> Refusal:
    """404: no such object."""
    return Refusal(404, "NotFound", f'{kind.resource} "{name}" not found', about(kind, name))


def no_such_resource() -> Refusal:
    """404: nothing is served at this path."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> Refusal:
    """405: served, but not with this method."""
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message, {})


def already_exists(kind: Kind, name: str) -> Refusal:
    """409: created by somebody else before."""
    return Refusal(409, "AlreadyExists", f'{kind.resource} "{name}" already exists', about(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> Refusal:
    """409: the object is not the one that the client has read."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    return Refusal(
        409, "Conflict", f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}', about(kind, name)
    )


def expired(message: str) -> Refusal:
    """410: the history that was asked for is forgotten."""
    return Refusal(410, "Expired", message)


def invalid(kind: Kind, name: str, field: str, problem: str) -> Refusal:
    """422: the object breaks a rule. `problem` begins with "Required value", "Too long" or "Invalid value"."""
    reasons = {"Required": "FieldValueRequired", "Too": "FieldValueTooLong"}
    reason = reasons.get(problem.partition(" ")[0], "FieldValueInvalid")
    cause = {"reason": reason, "message": problem, "field": field}
    group = {"group": kind.group} if kind.group else {}
    details = {"name": name, **group, "kind": kind.name, "causes": [cause]}
    return Refusal(422, "Invalid", f'{kind.qualified} "{name}" is invalid: {field}: {problem}', details)


def patch_failed() -> Refusal:
    """422: a JSON patch that can't be applied, a failed `test` above all. A real server doesn't say which either."""
    return Refusal(422, "Invalid", "the server rejected our request due to an error in our request", {})


def unsupported_media_type(supported: str) -> Refusal:
    """415: a body in a format that isn't read here."""
    message = f"the body of the request was in an unknown format - accepted media types include: {supported}"
    return Refusal(415, "UnsupportedMediaType", message, {})
