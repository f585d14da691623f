"""Links to the service's dashboard in Grafana, at the time that matters. Pure; the messages hold them."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

_VARIABLE = re.compile(r"\$(?:\{(namespace|deployment)\}|(namespace|deployment)\b)")


def dashboard_link(base: str, path: str, subject: tuple[str, str], since: float, until: float | None) -> str:
    """Put together the address of a dashboard for one Deployment.

    `base` is Grafana's own address, which may have a sub-path. `path` is what follows it, or a whole address of its
    own; `$namespace` and `$deployment` in it are filled in from `subject`, quoted. `since` and `until` (epoch seconds;
    None: still going on) become the dashboard's time range, in place of one that `path` has
    (https://grafana.com/docs/grafana/latest/dashboards/share-dashboards-panels/, from and to in milliseconds or `now`).
    ValueError where it makes no URL, such as `https://[x`.
    """
    filled = dict(zip(("namespace", "deployment"), subject, strict=True))
    path = _VARIABLE.sub(lambda found: quote(filled[found[1] or found[2]], safe=""), path)
    whole = path if re.match(r"https?://", path) else f"{base.rstrip('/')}/{path.lstrip('/')}"
    scheme, netloc, where, query, fragment = urlsplit(whole)
    kept = [part for part in query.split("&") if part and part.partition("=")[0] not in ("from", "to")]
    end = "now" if until is None else str(round(until * 1000))
    return urlunsplit((scheme, netloc, where, "&".join([*kept, f"from={round(since * 1000)}", f"to={end}"]), fragment))
