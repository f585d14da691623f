"""Whatever people write, loading ends in policies or in mistakes whose places are inside the file.

And what the loader says of a policy's structure, the JSON Schema says, too.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policy.held_against import refusals
from tests.policy.policy_texts import MIGRATIONS, RATIO, SMOKE, VALUE
from watcher.policy.document import json_schema
from watcher.policy.loading import load

PIECES = [
    *(
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "\n  ",
        '"',
        "'",
        "|",
        ">",
        "&a ",
        "*a",
        "#",
        "!!int ",
        "!x ",
        "<<: ",
        "---\n",
    ),
    *(
        "null",
        "on",
        "~",
        "1.10",
        "12:30",
        ".nan",
        ".inf",
        "-1",
        "1e999",
        "0x_",
        "é",
        "\t",
        "\u2028",
        "\x85",
        "\x00",
        "\ufeff",
    ),
    *("$pod", "$x", "${pod}", "sum(", ")", "[1m]", "=~", "per: pod", "above: ", "smokeTest: ", "annotation", "9" * 400),
    *("$version", "$app", "041", "django: ", "plan: ", "dsnFile: ", "://", "[]", "{}"),
]

Edit = tuple[float, int, str]
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES) | st.text(max_size=4)),
    min_size=1,
    max_size=6,
)


def edited(text: str, edits: list[Edit]) -> str:
    """Cut some characters out at each place, and put a piece in."""
    for place, cut, piece in edits:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + cut :]
    return text


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([RATIO, VALUE, SMOKE, MIGRATIONS]), EDITS)
def test_a_mutated_policy_never_crashes_the_loader(text: str, edits: list[Edit]) -> None:
    """A mutated policy gives one Policy and no mistake, or mistakes inside the file and no Policy."""
    content = edited(text, edits).encode("utf-8", errors="surrogatepass")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.yaml"
        file.write_bytes(content)
        policies, mistakes = load([file])
    assert len(policies) == (0 if mistakes else 1)
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", content.decode("utf-8-sig", errors="replace"))
    for mistake in mistakes:
        assert 1 <= mistake.line <= len(lines)
        assert 1 <= mistake.column <= len(lines[mistake.line - 1]) + 1
        assert mistake.said
        assert "\n" not in mistake.said


def keys(needed: Mapping[str, st.SearchStrategy[object]], **others: st.SearchStrategy[object]) -> Any:
    """Mappings with all of `needed` and some of the others; now and then with less, with more, or no mapping at all."""
    right = st.fixed_dictionaries(dict(needed), optional=others)
    return right | right.map(lambda made: {**made, "more": 1}) | st.sampled_from([None, 7, "text", [], {}])


DSN = st.sampled_from(["dsn", "/run/secrets/a-dsn", "postgresql://u:p@h/d", "host=a password=b", "", 7, None])
WORDS = st.lists(
    st.sampled_from(["migrate", "$app", "--to=$version", "$version", "$versions", "$apps", "", 5]), max_size=4
)
ONE = st.sampled_from
SCHEMA = json_schema()
VERSION = keys(
    {},
    sql=keys({"dsnFile": DSN}, query=ONE(["SELECT 1", "", 3])),
    django=keys({"dsnFile": DSN}),
    annotation=ONE(["example.com/version", "not a key", None]),
) | keys({"django": keys({"dsnFile": DSN})})
DOWN = keys(
    {"command": WORDS},
    plan=WORDS,
    container=ONE(["web", "Web", ""]),
    initContainers=ONE([["proxy"], [], ["A"], "proxy"]),
    timeout=ONE(["5m", "5", 5, None]),
)
OPTIONS = keys(
    {},
    rollbackTo=keys({"revision": ONE([41, 0, -1, True, "41", None])}),
    noEarlierRevision=ONE(["escalate", "scale-to-zero", "no", None]),
    migrations=keys(
        {"version": VERSION},
        app=ONE(["shop", "sh-op", "", None]),
        down=DOWN,
        order=ONE(["before", "after", "first"]),
        irreversible=ONE(["hold", "revert", True]),
    ),
).filter(lambda made: isinstance(made, dict))


@settings(max_examples=200, deadline=None)
@given(OPTIONS)
def test_the_schema_and_the_loader_refuse_the_same(options: dict[str, Any]) -> None:
    """An editor underlines a policy's structure where the loader refuses it, and nothing that it takes."""
    spec = {"match": {"namespaces": ["shop"]}, "watchFor": "30m", "checks": [{"name": "a", "smokeTest": {"job": {}}}]}
    written = {"apiVersion": "canary-watch/v1", "kind": "RollbackPolicy", "metadata": {"name": "a"}}
    text = json.dumps({**written, "spec": {**spec, **options}})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.yaml"
        file.write_text(text)
        mistakes = [str(mistake) for mistake in load([file])[1]]
    refused = list(refusals(SCHEMA, json.loads(text)))
    assert bool(refused) == bool(mistakes), (refused, mistakes)
