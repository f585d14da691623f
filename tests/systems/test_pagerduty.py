"""PagerDuty's adapter against its stand-in."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.systems.credentials import API_TOKEN, ROUTING_KEY, SHORT_KEY
from tests.systems.fault_matrix import Case, every_fault, faulted, strike
from watcher.sandbox import pagerduty as stand_in
from watcher.sandbox.stand_in import Reply, Request, json_reply
from watcher.systems.fault import Fault
from watcher.systems.pagerduty import PageEvent, PagerDuty, PagerDutySettings
from watcher.systems.secret_file import SecretFile

SECRETS = (ROUTING_KEY, API_TOKEN)
EVENT = PageEvent(
    dedup_key="case-1",
    summary="Rolled back shop/cart from revision 4 to revision 3",
    source="shopwave-prod-us-east-1",
    severity="error",
    details={"reason": "error rate 4.2% is above 1%", "bad": 24, "ratio": 0.042},
    links=(("https://grafana.example.com/d/1", "Dashboard"),),
)
CALLS: dict[str, Callable[[PagerDuty], object]] = {
    "trigger": lambda pagerduty: pagerduty.trigger(EVENT),
    "resolve": lambda pagerduty: pagerduty.resolve("case-1"),
    "incident": lambda pagerduty: pagerduty.incident("case-1"),
    "note": lambda pagerduty: pagerduty.note("Q0000000000001", "Verified."),
    "notes": lambda pagerduty: pagerduty.notes("Q0000000000001"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def test_an_incident_from_trigger_to_resolve(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """An event opens an incident that can be found, noted and resolved, all within the documented rules."""
    assert pagerduty.incident("case-1") is None
    pagerduty.trigger(EVENT)
    incident = pagerduty.incident("case-1")
    assert incident is not None
    assert incident.status == "triggered"
    assert incident.url == f"{pagerduty_api.url}/incidents/{incident.id}"
    pagerduty.note(incident.id, "Verified: 0.1% since 12:31.")
    assert pagerduty.notes(incident.id) == ("Verified: 0.1% since 12:31.",)
    pagerduty.resolve("case-1")
    resolved = pagerduty.incident("case-1")
    assert resolved == dataclasses.replace(incident, status="resolved")
    [kept] = pagerduty_api.incidents
    assert kept.events[0]["payload"] == {
        "summary": EVENT.summary,
        "source": EVENT.source,
        "severity": "error",
        "custom_details": EVENT.details,
    }
    assert kept.events[0]["links"] == [{"href": "https://grafana.example.com/d/1", "text": "Dashboard"}]
    assert pagerduty_api.violations == []


def test_triggering_twice_is_one_incident(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """A repeated page adds to the open incident."""
    pagerduty.trigger(EVENT)
    pagerduty.trigger(EVENT)
    assert len(pagerduty_api.incidents) == 1


def test_the_newest_incident_of_a_key_is_found(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """After a resolve the same key opens another incident, and that is the one returned."""
    pagerduty.trigger(EVENT)
    pagerduty.resolve("case-1")
    pagerduty.trigger(EVENT)
    incident = pagerduty.incident("case-1")
    assert incident is not None
    assert incident.id == pagerduty_api.incidents[-1].id
    assert incident.status == "triggered"


def test_a_long_summary_is_cut_to_what_is_taken(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """A summary over 1,024 characters, with line breaks, still pages: cut after a word, on one line."""
    pagerduty.trigger(dataclasses.replace(EVENT, summary="error rate\n" * 200))
    summary = pagerduty_api.incidents[0].summary
    assert 1000 < len(summary) <= 1024
    assert summary.endswith(("error…", "rate…"))
    assert "\n" not in summary
    assert pagerduty_api.violations == []


@pytest.mark.parametrize("character", ["x", "é", '"'])
def test_too_many_details_still_page(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty, character: str) -> None:
    """Details that would make the event too large are cut, in the worst encoding too; the page goes out."""
    pagerduty.trigger(dataclasses.replace(EVENT, details={"log": character * 600_000}))
    assert list(pagerduty_api.incidents[0].events[0]["payload"]["custom_details"]) == ["cut"]
    assert pagerduty_api.violations == []


def test_details_that_json_does_not_know_still_page(pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty) -> None:
    """NaN and infinity, which evidence may hold, go out as their names instead of failing the page."""
    details = {"ratio": math.nan, "series": {"new": [1.5, math.inf]}, "held": True, "none": None}
    pagerduty.trigger(dataclasses.replace(EVENT, details=details))
    sent = pagerduty_api.incidents[0].events[0]["payload"]["custom_details"]
    assert sent == {"ratio": "nan", "series": {"new": [1.5, "inf"]}, "held": True, "none": None}
    assert pagerduty_api.violations == []


@every_fault
@every_call
def test_every_fault_is_a_fault(
    case: Case,
    call: Callable[[PagerDuty], object],
    pagerduty: PagerDuty,
    pagerduty_api: stand_in.PagerDuty,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever PagerDuty does, each call ends soon in one Fault, after one request, and shows no secret."""
    pagerduty.trigger(EVENT)
    before = len(pagerduty_api.requests)
    strike(pagerduty_api, case)
    fault = faulted(lambda: call(pagerduty), "PagerDuty", SECRETS, caplog)
    assert fault.retry_after == case.retry_after
    assert not fault.lasting
    assert len(pagerduty_api.requests) - before == (0 if case.mode == "refused" else 1)
    pagerduty_api.recover()
    call(pagerduty)
    assert pagerduty_api.violations == []


@pytest.mark.parametrize("call", [CALLS["incident"], CALLS["note"], CALLS["notes"]], ids=["incident", "note", "notes"])
def test_a_revoked_token_is_a_lasting_fault(
    call: Callable[[PagerDuty], object],
    pagerduty: PagerDuty,
    pagerduty_api: stand_in.PagerDuty,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A 401 is lasting, in PagerDuty's own words, and shows nothing of the token."""
    pagerduty_api.api_token = "another"
    fault = faulted(lambda: call(pagerduty), "PagerDuty", SECRETS, caplog)
    assert fault.lasting
    assert fault.said == "answered HTTP 401: Authentication failed"


def test_a_wrong_routing_key_is_a_lasting_fault(
    pagerduty_settings: PagerDutySettings, secret: Callable[[str, str], SecretFile], caplog: pytest.LogCaptureFixture
) -> None:
    """A 400 is lasting and says what PagerDuty found wrong."""
    short = dataclasses.replace(pagerduty_settings, routing_key=secret("routing-key", SHORT_KEY))
    fault = faulted(lambda: PagerDuty(short).trigger(EVENT), "PagerDuty", (SHORT_KEY,), caplog)
    assert fault.lasting
    assert "Length of 'routing_key' is incorrect (should be 32 characters)" in fault.said


def test_a_refusal_that_hangs_half_way_is_a_fault(
    pagerduty_settings: PagerDutySettings,
    pagerduty_api: stand_in.PagerDuty,
    secret: Callable[[str, str], SecretFile],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An error answer that breaks off while it is read doesn't get past the adapter either."""
    short = dataclasses.replace(pagerduty_settings, routing_key=secret("routing-key", SHORT_KEY))
    pagerduty_api.inject("hung-halfway")
    fault = faulted(lambda: PagerDuty(short).trigger(EVENT), "PagerDuty", (SHORT_KEY,), caplog)
    assert fault.said == "did not answer within 0.6 s"


@every_call
def test_an_undocumented_answer_that_repeats_a_secret_does_not_spread_it(
    call: Callable[[PagerDuty], object],
    pagerduty: PagerDuty,
    pagerduty_api: stand_in.PagerDuty,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An answer that isn't PagerDuty's is not shown at all."""
    pagerduty_api.inject("wrong-shape", shape={"dedup_key": list(SECRETS), "incidents": [list(SECRETS)]})
    fault = faulted(lambda: call(pagerduty), "PagerDuty", SECRETS, caplog)
    assert fault.said == "answered with something that its API doesn't document"
    pagerduty_api.recover()
    pagerduty_api.inject("wrong-shape", shape=list(SECRETS))
    faulted(lambda: call(pagerduty), "PagerDuty", SECRETS, caplog)


def _hang_up(request: Request) -> None:
    raise ConnectionResetError


@every_call
def test_a_dropped_answer_is_a_fault_and_nothing_is_sent_again(
    call: Callable[[PagerDuty], object], pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty
) -> None:
    """A connection cut after the request was carried out is not tried again here."""
    pagerduty.trigger(EVENT)
    pagerduty_api.requests.clear()
    pagerduty_api.after = _hang_up
    with pytest.raises(Fault, match="can't be reached"):
        call(pagerduty)
    assert len(pagerduty_api.requests) == 1


class _Echo(stand_in.PagerDuty):
    """A PagerDuty that repeats in its answer what it was sent, secrets and all."""

    def answer(self, request: Request) -> Reply:
        """Refuse, and repeat the request."""
        said = f"bad request: {request.headers.get('Authorization')} {request.body.decode()[-80:]}"
        return json_reply(400, {"error": {"message": said, "errors": [said]}, "message": said, "errors": [said]})


@every_call
def test_an_answer_that_repeats_a_secret_does_not_spread_it(
    call: Callable[[PagerDuty], object], pagerduty_settings: PagerDutySettings, caplog: pytest.LogCaptureFixture
) -> None:
    """A vendor that echoes the request in its error doesn't make us show the key or the token."""
    with _Echo() as echo:
        settings = dataclasses.replace(pagerduty_settings, events_url=echo.url, api_url=echo.url)
        fault = faulted(lambda: call(PagerDuty(settings)), "PagerDuty", SECRETS, caplog)
    assert "(secret)" in fault.said


def test_without_a_token_no_incident_is_looked_for(
    pagerduty_settings: PagerDutySettings, pagerduty_api: stand_in.PagerDuty
) -> None:
    """Without a REST token events still work, and the incident is simply not known."""
    pagerduty = PagerDuty(dataclasses.replace(pagerduty_settings, api_token=None))
    pagerduty.trigger(EVENT)
    assert pagerduty.incident("case-1") is None
    assert [request.path for request in pagerduty_api.requests] == ["/v2/enqueue"]
    with pytest.raises(Fault, match="needs a token") as raised:
        pagerduty.note("Q1", "text")
    assert raised.value.lasting


def test_a_changed_secret_counts_at_once(
    pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty, secret: Callable[[str, str], SecretFile]
) -> None:
    """A token that was revoked and replaced works without a restart."""
    pagerduty_api.api_token = "the-new-one"
    with pytest.raises(Fault):
        pagerduty.incident("case-1")
    secret("api-token", "the-new-one")
    assert pagerduty.incident("case-1") is None


def test_importing_the_adapter_is_cheap_and_quiet() -> None:
    """The vendor's client is imported when first needed, and its end-of-life warning is not shown."""
    script = (
        "import sys, watcher.systems.pagerduty as adapter\n"
        "assert 'pdpyras' not in sys.modules\n"
        "adapter.PagerDuty(adapter.PagerDutySettings(None, None, '', '', None))\n"
        "assert 'pdpyras' not in sys.modules\n"
        "adapter.client.pdpyras()\n"
        "assert 'pdpyras' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
