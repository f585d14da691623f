"""What may be shown of texts that others wrote: no secret among them, as far as can be told. Pure.

`changes` shows what a release changed, and hides what it can't tell; `jobs` the end of an output, of which `masked`
hides what looks like a secret: it has to stay readable. Neither knows a secret that looks like a plain word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

LONGEST_VALUE, LONGEST_NAME = 60, 63
MASK, REST, STARS = "(not shown)", "(rest not shown)", "***"
LONGEST_WORD = 4096  # characters: what is longer is no text

_SECRET = re.compile(
    r"pass|pwd?|secret|token|key|cred|auth|dsn|private|cert|cookie|salt|signature|signing|hmac|phrase|seed|session|jwt"
    r"|bearer|otp|licen[sc]e|webhook|cipher|crypt|nonce|pem|pfx|jks|conn(?:ection)?[-_. ]?(?:str|ur[il])"
    r"|(?<![a-z])(?:pin|pat|sas|psk|sid)(?![a-z])",
    re.IGNORECASE,
)
# How well-known tokens begin, JWTs among them.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:eyJ|AKIA|ASIA|AIza|gh[a-z]_|github_pat|gl[a-z]+[-_]|xox[a-z]-|[spr]k[-_]|hvs\.|ya29)"
)
_PLAIN = re.compile(r"[\w./:,=%* -]*", re.ASCII)
_AMOUNT = re.compile(r"v?[0-9]{1,11}[A-Za-z]{0,3}")
_FLAG = re.compile(r"-{0,2}[A-Za-z_][\w.-]*", re.ASCII)
# Short options that take a password, a user with one, or a key in common tools: mysql -p, redis-cli -a, curl -u.
_SHORT = re.compile(r"-[pPaAuUkKsS]")
_PEM = re.compile(r"-----BEGIN [^\n]{0,64}-----.*?(?:-----END [^\n]{0,64}-----|\Z)", re.DOTALL)
_VALUE = r"""[rbuf]?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\\"[^"\n]*"|\\'[^'\n]*'|\\?["'`][^\n]*|[^\s"'`]\S*)"""
_SCHEME = r"(?:bearer|basic|digest|negotiate|token)[ \t]+"
# `password=x`, `"token": "x"`, `API_KEY => 'x'`, `Authorization: Basic x`; but for `KeyError: 'sku'`.
_NAMED = re.compile(
    rf"""((?:{_SECRET.pattern})(?![\w.-]{{0,60}}(?:Error|Exception|Warning|Failed|Failure|Expired|Denied|Required)\b)"""
    rf"""[\w.-]{{0,60}}\\?["'`)\]]{{0,3}}[ \t]{{0,4}}(?:=>|:=|==?|:(?!//))[ \t]{{0,4}})"""
    rf"""(?!(?:true|false|none|null)\b)((?:{_SCHEME})?{_VALUE})""",
    re.IGNORECASE,
)
# `--password x`, `PASSWORD 'x'`, `IDENTIFIED BY 'x'`
_OPTION = re.compile(rf"((?<![\w-])--?[\w-]{{0,60}}?(?:{_SECRET.pattern})[\w-]{{0,60}}[ \t]+)({_VALUE})", re.IGNORECASE)
_QUOTED = re.compile(
    r"""\b((?:password|passwd|identified by|secret|token)[ \t]+)(E?'[^'\n]*'?|"[^"\n]*"?)""", re.IGNORECASE
)
_CREDENTIALS = re.compile(
    r"(\b(?:[Bb]earer|BEARER)[ \t]+|\b[Bb]asic[ \t]+(?=\S*[A-Z0-9=])(?!\S{1,5}(?!\S)))[^\s\"'`,;]+"
)
_KNOWN_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:eyJ|A[KS]IA|AIza|gh[a-z]_|github_pat_|glpat-|xox[a-z]-|hvs\.|ya29\.)[\w.+/=~-]{8,}"
    r"|[spr]k[-_](?=\S*[0-9])(?=\S*[A-Z])[\w-]{12,})"
)
_RUN = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_HEX = re.compile(r"(?<![A-Za-z0-9])(?=[0-9]*[A-Fa-f])(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{20,}(?![A-Za-z0-9])")


def masked(text: str) -> str:
    """Put `***` in place of whatever in `text` looks like a secret, and leave all else, blanks and lines, as it is.

    Such are an address's user and password, what follows a name like `password` or `api_key`, credentials of HTTP,
    private keys, and tokens: known ones, and long runs of letters and digits that nobody would have chosen.
    """
    text = _PEM.sub(STARS, text)
    text = "".join(_without_user(part) for part in re.split(r"(\s+)", text))
    text = _NAMED.sub(rf"\1{STARS}", text)
    text = _CREDENTIALS.sub(rf"\1{STARS}", text)
    text = _OPTION.sub(rf"\1{STARS}", text)
    text = _QUOTED.sub(rf"\1{STARS}", text)
    text = _KNOWN_TOKEN.sub(STARS, text)
    text = _HEX.sub(STARS, text)
    return _RUN.sub(lambda run: STARS if _by_lot(run[0]) else run[0], text)


def _without_user(word: str) -> str:
    """Hide what stands before the last `@` of a word, where it has a password; the scheme is kept.

    A password may hold any character, so that the last `@` counts.
    """
    if len(word) > LONGEST_WORD:
        return STARS if word.strip() else word
    before, at, host = word.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    if slashes:
        return f"{scheme}{slashes}{STARS}{at}{host}"
    return f"{STARS}{at}{host}" if ":" in before.strip(":") else word


def _by_lot(run: str) -> bool:
    """Say whether a long run looks drawn by lot: its kinds of characters change more often than in any name.

    Names may hold a hash (`checkout-7d9f8b6c5-x2x4z`), which is short, and capitals that begin words.
    """
    pieces = re.findall(r"[A-Za-z0-9]+", run)
    if "-" not in run and "_" not in run and "/" not in run[:1] and _changes("".join(pieces)):
        return True
    every = "".join(pieces)
    mixed = len(every) >= 32 and re.search("[a-z]", every) and re.search("[A-Z]", every) and re.search("[0-9]", every)
    return any(len(piece) >= 16 and _changes(piece) for piece in pieces) or bool(mixed and _changes(every))


def _changes(letters: str) -> bool:
    kinds = ["d" if one.isdigit() else "U" if one.isupper() else "l" for one in letters]
    changes = sum(a != b and (a, b) != ("U", "l") for a, b in pairwise(kinds))
    return changes > len(letters) * (0.2 if "d" in kinds else 0.35)


def harmless(name: str, value: str) -> bool:
    """Say whether a literal may be shown: short, plain, and nothing about it looks like a secret."""
    if len(value) > LONGEST_VALUE or not _PLAIN.fullmatch(value):
        return False
    return not (_SECRET.search(name) or _SECRET.search(value) or _drawn(value))


def _drawn(text: str) -> bool:
    """Say whether something in `text` looks drawn by lot rather than chosen: mixed, or too long for a word."""
    mixed = 0
    for run in re.findall(r"[A-Za-z0-9]+", text):
        case = not run.isdigit() and not run.isupper() and not run.islower()
        if len(run) >= (16 if case else 24 if run.isalpha() else 12) or (case and sum(map(str.isupper, run)) >= 4):
            return True
        if not run.isalpha() and not run.isdigit() and not _AMOUNT.fullmatch(run):
            mixed += 3 if len(run) >= 6 else 1
    return mixed >= 3 or _TOKEN.search(text) is not None


def argument_texts(words: Sequence[Any]) -> list[str]:
    """Show a command's words, each as far as it is harmless beside the one before it."""
    texts = [str(word) for word in words]
    return [_argument(word, before) for word, before in zip(texts, ("", *texts), strict=False)]


def _argument(word: str, before: str) -> str:
    """Show an argument as far as it is harmless; what follows an option for a secret never is."""
    if not word:
        return "''"
    if ("=" not in before and _SECRET.search(before)) or (_SHORT.fullmatch(before) and not _AMOUNT.fullmatch(word)):
        return MASK
    if _SHORT.match(word) and len(word) > 2:
        return word[:2] + MASK
    if harmless("", word) and (" " not in word or argument_texts(word.split()) == word.split()):
        return word
    name, equals, _ = word.partition("=")
    if not _is_flag(name) or not (equals or name.startswith("-")):
        return MASK
    return f"{name}={MASK}" if equals else name


def _is_flag(name: str) -> bool:
    return len(name) <= LONGEST_NAME and _FLAG.fullmatch(name) is not None and not _drawn(name)


def command_line(text: str) -> str:
    """Show a change cause, which may be a whole command line (`--record`), up to the first word that names a secret."""
    shown, words = [], text.split()
    for word, before in zip(words, ("", *words), strict=False):
        core = word.strip("()[]{}<>\"'`,.;:!?#")
        if _SECRET.search(word):
            name = core.partition("=")[0]
            shown.append(f"{name}={REST}" if name != core and _is_flag(name) else REST)
            break
        short = _SHORT.match(word) or _SHORT.fullmatch(before)
        shown.append(MASK if short or "@" in core or len(core) > LONGEST_VALUE or _drawn(core) else word)
    return " ".join(shown)
