"""A plain GET from outside, as a smoke test: the HTTP status of a service's address."""

from __future__ import annotations

import requests

from watcher.systems.fault import Fault

CONNECT_TIMEOUT = 2.0  # seconds


def probe(url: str, timeout: float) -> int:
    """GET `url` within `timeout` seconds (to connect, and for each wait for data) and return its HTTP status.

    Redirects aren't followed and proxies not used: what answers must be the service itself. Raises Fault where there
    is no HTTP answer.
    """
    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.get(
                url, timeout=(min(CONNECT_TIMEOUT, timeout), timeout), allow_redirects=False, stream=True
            ) as answer:
                return answer.status_code
        except requests.Timeout:
            raise Fault("probe", f"no answer within {timeout:g} s") from None
        except (requests.RequestException, OSError) as error:
            raise Fault("probe", f"no HTTP answer ({type(error).__name__})") from None
