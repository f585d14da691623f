"""Prometheus: asks one range query and hands back its series, or one line that says why there are none.

`watch` asks it, `judgement` reads the answers. The HTTP goes through prometheus-api-client, on a session of ours that
mends what the library leaves open: time limits, POST bodies, redirects, proxies, and the shape of what comes back.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import responses
from itertools import pairwise
from typing import Any, Literal, NotRequired
from urllib.parse import urlsplit

import requests
import urllib3
from prometheus_api_client.prometheus_connect import PrometheusConnect
from pydantic import InstanceOf, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema
from requests.adapters import HTTPAdapter
from typing_extensions import TypedDict

from watcher.judgement.model import Answer, Grid, Series
from watcher.systems.fault import Fault
from watcher.systems.secret_file import SecretFile

SYSTEM = "Prometheus"
CONNECT_TIMEOUT = 2.0
# Some 14,000 series of 130 samples; the samples then take two and a half times as much memory.
ANSWER_LIMIT = 64 * 1024 * 1024
REFUSAL_LIMIT = 64 * 1024
LINE_LIMIT = 500
PART = 256 * 1024

# Numbers come as strings, for JSON has no NaN or infinity. pydantic reads them twice as fast as float() does.
_NUMBERS = SchemaValidator(
    core_schema.list_schema(core_schema.chain_schema([core_schema.str_schema(strict=True), core_schema.float_schema()]))
)


class _Matrix(TypedDict):
    resultType: Literal["matrix"]
    result: list[InstanceOf[Series]]


class _Success(TypedDict):
    status: Literal["success"]
    data: _Matrix
    warnings: NotRequired[list[str] | None]


class _Refusal(TypedDict):
    status: Literal["error"]
    error: str
    errorType: NotRequired[str]


_SUCCESS = TypeAdapter(_Success)
_REFUSAL = TypeAdapter(_Refusal)


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """Where Prometheus is. `timeout`: seconds for one query, of which Prometheus itself gets a little less.

    `ca_file`: a PEM bundle to trust instead of the public authorities.
    """

    url: str
    timeout: float
    bearer_token: SecretFile | None = None
    ca_file: str | None = None


class Prometheus:
    """One Prometheus, or anything that speaks its HTTP API. Safe to ask from several threads."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._settings = settings
        self._connections = HTTPAdapter(max_retries=urllib3.Retry(0))

    def range(self, query: str, grid: Grid) -> Answer:
        """Ask `query` at every instant of `grid`. Never raises: what went wrong is `Answer.error`, in one line.

        Sample times are exactly those of `grid.times()`; a step is a whole number of milliseconds, as Prometheus's
        own clock is. NaN stays NaN. Ends after twice the timeout and 2 s at the latest.
        """
        session = _Session(self._settings, grid)
        try:
            series = self._ask(session, query, grid)
        except Fault as fault:
            return Answer(query, grid, error=session.safe(fault.said))
        except Exception as exc:  # noqa: BLE001 - the promise to the pass: a surprise of a library is an error, too
            return Answer(query, grid, error=f"could not be asked: {type(exc).__name__}")
        return Answer(query, grid, tuple(series), warnings=tuple(map(session.safe, session.warnings)))

    def _ask(self, session: _Session, query: str, grid: Grid) -> list[Series]:
        url = self._settings.url.rstrip("/")
        client = PrometheusConnect(url=url, session=session, method="POST")
        session.mount(url, self._connections)  # the library has just mounted an adapter that retries
        # Prometheus should give up first: its own message says more than our timeout.
        own_timeout = max(self._settings.timeout - 1, self._settings.timeout * 0.8)
        # The library rounds times to seconds, so the exact ones overrule it as further parameters.
        exact = {"start": f"{grid.start:.3f}", "end": f"{grid.end:.3f}", "timeout": f"{own_timeout:g}"}
        start, end = (datetime.fromtimestamp(moment, UTC) for moment in (grid.start, grid.end))
        found: list[Series] = client.custom_query_range(query, start, end, f"{grid.step:g}", exact)
        return found


class _Session(requests.Session):
    """The session that the library sends one question through; raises Fault for all but a complete, sound answer."""

    def __init__(self, settings: PrometheusSettings, grid: Grid) -> None:
        super().__init__()
        self.warnings: list[str] = []
        self.trust_env = False  # no proxy, netrc or CA bundle out of the environment
        self.verify = settings.ca_file or True
        self.headers["Accept-Encoding"] = "identity"  # unpacking would cost as much as all the rest
        self._settings = settings
        self._grid = grid
        self._token = ""
        self._address = urlsplit(settings.url).netloc.rpartition("@")[2]

    def safe(self, text: str) -> str:
        """Give `text` as one line of bounded length, without the token, should a proxy have echoed it."""
        hidden = text.replace(self._token, "***") if self._token else text
        line = " ".join(hidden.split())
        return line if len(line) <= LINE_LIMIT else line[: LINE_LIMIT - 1] + "…"

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send `params` as the POST body: queries for a thousand rollouts are longer than a URL may be."""
        if self._settings.bearer_token is not None:
            self._token = self._settings.bearer_token.read()
            kwargs["headers"] = {"Authorization": f"Bearer {self._token}"}
        kwargs |= {"data": kwargs.pop("params", None), "stream": True, "allow_redirects": False}
        kwargs["timeout"] = (min(CONNECT_TIMEOUT, self._settings.timeout), self._settings.timeout)
        deadline = time.monotonic() + self._settings.timeout
        try:
            with super().request(method, url, *args, **kwargs) as response:
                limit = ANSWER_LIMIT if response.status_code == HTTPStatus.OK else REFUSAL_LIMIT
                body = self._read(response, deadline, limit)
        except (OSError, urllib3.exceptions.HTTPError) as exc:
            # `from None`: the vendor's text may hold a header.
            raise Fault(SYSTEM, self._unreached(exc)) from None
        if response.status_code != HTTPStatus.OK:
            raise Fault(SYSTEM, _refusal(response.status_code, body))
        if len(body) > ANSWER_LIMIT:
            raise Fault(SYSTEM, f"the answer is larger than {ANSWER_LIMIT >> 20} MB")
        return self._parsed(response, body)

    def _read(self, response: requests.Response, deadline: float, limit: int) -> bytes:
        """Read the body until it ends or passes `limit`; the deadline stops a server that drips."""
        body = bytearray()
        while len(body) <= limit:
            part = response.raw.read1(PART, decode_content=True)
            if not part:
                break
            body += part
            if time.monotonic() > deadline:
                raise Fault(SYSTEM, f"{self._address} had not finished its answer after {self._settings.timeout:g} s")
        return bytes(body)

    def _parsed(self, response: requests.Response, body: bytes) -> requests.Response:
        """Check the answer, keep its warnings, which the library drops, and hand it on already parsed."""
        try:
            document = json.loads(body, object_hook=_SeriesReader(self._grid))
        except (ValueError, RecursionError):
            kind = response.headers.get("Content-Type", "no content type")
            raise Fault(SYSTEM, f"the answer is not JSON ({kind})") from None
        try:
            success = _SUCCESS.validate_python(document)
        except ValidationError as exc:
            raise Fault(SYSTEM, _own_words(body) or _misshapen(exc)) from None
        self.warnings = success.get("warnings") or []
        return _Parsed(success)

    def _unreached(self, exc: Exception) -> str:
        if isinstance(exc, requests.ConnectTimeout):
            return f"no connection to {self._address} within {min(CONNECT_TIMEOUT, self._settings.timeout):g} s"
        if isinstance(exc, requests.Timeout):
            return f"no answer from {self._address} within {self._settings.timeout:g} s"
        if isinstance(exc, urllib3.exceptions.TimeoutError):
            return f"the answer of {self._address} stopped half-way for {self._settings.timeout:g} s"
        if isinstance(exc, urllib3.exceptions.HTTPError):
            return f"the answer of {self._address} broke off half-way"
        return f"no connection to {self._address}: {_root(exc)}"


class _Parsed(requests.Response):
    """A 200 whose document has been read already; the library asks for nothing but these two."""

    def __init__(self, document: _Success) -> None:
        super().__init__()
        self.status_code = HTTPStatus.OK
        self._document = document

    def json(self, **kwargs: Any) -> Any:
        """Hand out the checked document."""
        return self._document


class _SeriesReader:
    """Makes a Series of each series as soon as json has read it, so that its lists of lists are never all in memory."""

    def __init__(self, grid: Grid) -> None:
        self._instants = {round(moment, 3): float(moment) for moment in grid.times()}
        self._checked: dict[tuple[float, ...], tuple[float, ...]] = {}

    def __call__(self, found: dict[str, Any]) -> object:
        """Pass on what isn't a series with values. Raises Fault if it is one and is not what was asked for."""
        samples, labels = found.get("values"), found.get("metric")
        if not (isinstance(samples, list) and isinstance(labels, dict)):
            return found
        if not all(isinstance(value, str) for value in labels.values()):
            raise Fault(SYSTEM, "the answer has a series with a label that is not a string")
        try:
            times = tuple([moment for moment, _ in samples])
            numbers = _NUMBERS.validate_python([number for _, number in samples])
            exact = self._checked.get(times)
        except (TypeError, ValueError):
            raise Fault(SYSTEM, "the answer has a sample that is not a time and a number in a string") from None
        if exact is None:
            exact = self._checked[times] = self._on_grid(times)
        return Series(labels, tuple(zip(exact, numbers, strict=True)))

    def _on_grid(self, times: tuple[float, ...]) -> tuple[float, ...]:
        """Check the times of a series, which most series share, and give the grid's own for them."""
        if any(type(moment) not in {int, float} for moment in times):
            raise Fault(SYSTEM, "the answer has a sample whose time is not a number")
        stray = next((moment for moment in times if moment not in self._instants), None)
        if stray is not None:
            raise Fault(SYSTEM, f"the answer has a sample at {stray:.3f}, which is not an instant that was asked for")
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise Fault(SYSTEM, "the answer has a series whose samples are out of order")
        return tuple(self._instants[moment] for moment in times)


def _refusal(status: int, body: bytes) -> str:
    """Say why there is no answer: in Prometheus's own words where it sent some, else by the HTTP status."""
    own = _own_words(body)
    if own:
        return f"HTTP {status}, {own}"
    return f"HTTP {status} ({responses.get(status, 'unknown')}), without a message of Prometheus's own"


def _own_words(body: bytes) -> str:
    try:
        refusal = _REFUSAL.validate_json(body)
    except ValidationError:
        return ""
    return f"{refusal.get('errorType', 'error')}: {refusal['error']}"


def _misshapen(exc: ValidationError) -> str:
    first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "its root"
    return f"the answer has the wrong shape at {where}: {first['msg']}"


def _root(exc: BaseException) -> str:
    """Find the operating system's or OpenSSL's own words under the layers that requests and urllib3 put around them."""
    said = type(exc).__name__
    inner: BaseException | None = exc
    for _ in range(10):
        if isinstance(inner, OSError) and inner.strerror:
            said = getattr(inner, "verify_message", "") or inner.strerror
        reason = getattr(inner, "reason", None) or next(iter(getattr(inner, "args", ())), None)
        inner = reason if isinstance(reason, BaseException) else getattr(inner, "__cause__", None)
    return said
