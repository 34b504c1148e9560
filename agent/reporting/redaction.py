"""Secrets taken out of what leaves the host: of documents by keys, of texts by how they look.

In a document (Host Configuration, Host Status) every value with the key of a secret goes, and the
content of additional files; strings are treated as texts. In a text go private keys, credentials in
URLs, password hashes, authorization headers, assignments to names of secrets, and every secret that
is known from a document. What cannot be understood is better not handed out at all. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from pydantic import JsonValue

HIDDEN = "<hidden>"
_SHORTEST = 4
"""Shorter secrets are not looked for in texts: they would be found everywhere."""
_WORDS = (
    r"passw(?:or)?d|passphrase|secret|token|api[-_]?key|private[-_]?key|access[-_]?key|psk"
    r"|credentials?|shared[-_]?key"
)
_SECRET_KEY = re.compile(rf"(?:^|[-_.])(?:{_WORDS})(?:$|[-_.])|(?:{_WORDS})$", re.IGNORECASE)
_TUNNEL_KEYS = frozenset(("key", "keys", "private", "shared", "input", "output"))
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY-----")
_PRIVATE_KEY = re.compile(rf"{_BEGIN.pattern}.*?(?:{_END.pattern}|\Z)", re.DOTALL)
_QUOTE = r"\\?[\"']"
_NAMED = rf"(?:{_WORDS})(?:{_QUOTE})?\s*[=:]\s*"


@dataclass(frozen=True)
class _Pattern:
    """What a secret looks like. It is only looked for where one of `signs` (lower case) is."""

    signs: tuple[str, ...]
    expression: re.Pattern[str]
    replacement: str

    def hide(self, text: str, lower: str) -> str:
        if not any(sign in lower for sign in self.signs):
            return text
        return self.expression.sub(self.replacement, text)


_NAMES = ("passw", "passphrase", "secret", "token", "key", "psk", "credential")
_PATTERNS = (
    _Pattern(
        ("@",),
        re.compile(r"\b([a-z][a-z0-9+.-]{0,20}://)[^/\s\"'@]+@", re.IGNORECASE),
        rf"\1{HIDDEN}@",
    ),
    _Pattern(
        ("?", "&"),
        re.compile(
            rf"([?&](?:sig|signature|sas|key|auth|x-amz-[a-z-]+|[\w-]{{0,64}}(?:{_WORDS}))=)"
            r"[^&\s\"'<]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    _Pattern(
        ("bearer", "basic"),
        re.compile(r"\b(bearer|basic)\s+[\w.~+/-]{8,}=*", re.IGNORECASE),
        rf"\1 {HIDDEN}",
    ),
    _Pattern(
        ("$",),
        re.compile(r"\$(?:[12][abxy]?|5|6|7|y|gy|sha1)\$[\w./$=,+-]{6,}"),
        HIDDEN,
    ),
    _Pattern(
        ("chpasswd",),
        re.compile(r"\b(echo|printf)\b[^\n|]{1,400}(\|[^\n|]{1,100}chpasswd)"),
        rf"\1 {HIDDEN} \2",
    ),
    _Pattern(
        ("dangerous-",),
        re.compile(
            rf"(type:\s*dangerous-[a-z-]+,?\s+value:\s*|value:\s*(?={_QUOTE}?[^\s,}}]+{_QUOTE}?,?"
            rf"\s+type:\s*dangerous-))(?:{_QUOTE})?[^\s\"',}}]+"
        ),
        rf"\1{HIDDEN}",
    ),
    _Pattern(
        _NAMES,
        re.compile(rf"({_NAMED}({_QUOTE}))(?!{HIDDEN})(?:(?!\2)[^\n])+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    _Pattern(
        _NAMES,
        re.compile(rf"({_NAMED})(?!{HIDDEN})[^\s\"'\\]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
)


class Redactor:
    """Takes secrets out of texts and documents; `known` are secrets to be found in any text."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        usable = sorted({one for one in known if len(one) >= _SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, usable))) if usable else None

    def text(self, text: str) -> str:
        """The text without what is, or looks like, a secret."""
        text = _PRIVATE_KEY.sub(HIDDEN, text)
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        lower = text.lower()
        for pattern in _PATTERNS:
            text = pattern.hide(text, lower)
        return text

    def lines(self, lines: Iterable[str]) -> Iterator[str]:
        """As `text`, for texts of any length, line by line; a private key may span lines."""
        inside = False
        for line in lines:
            if inside:
                inside = _END.search(line) is None
                continue
            begin = _BEGIN.search(line)
            inside = begin is not None and _END.search(line, begin.end()) is None
            redacted = self.text(line)
            yield (
                redacted if redacted.endswith("\n") or not line.endswith("\n") else f"{redacted}\n"
            )

    def document(self, value: JsonValue) -> JsonValue:
        """The document with its secrets hidden, its shape unchanged."""
        return self._at(value, ())

    def _at(self, value: JsonValue, path: tuple[str, ...]) -> JsonValue:
        if isinstance(value, dict):
            return {key: self._at(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._at(inner, path) for inner in value]
        if value is None or isinstance(value, bool):
            return value
        if _is_secret(path):
            return HIDDEN
        return self.text(value) if isinstance(value, str) else value


def secrets(value: JsonValue, path: tuple[str, ...] = ()) -> frozenset[str]:
    """The secrets that a document holds by their keys, also as the lines of a text."""
    if isinstance(value, dict):
        return frozenset(
            chain.from_iterable(secrets(inner, (*path, key)) for key, inner in value.items())
        )
    if isinstance(value, list):
        return frozenset(chain.from_iterable(secrets(inner, path) for inner in value))
    if isinstance(value, str) and _is_secret(path) and path[-1] != "content":
        return frozenset((value, *value.split("\n"))) - {HIDDEN}
    return frozenset()


def _is_secret(path: tuple[str, ...]) -> bool:
    """Whether what stands at this path of keys is one."""
    if not path:
        return False
    if path[-1] == "content":
        return "additionalFiles" in path
    if path[-2:] == ("password", "value"):
        return True
    if "tunnels" in path and _TUNNEL_KEYS & set(path[path.index("tunnels") + 1 :]):
        return True
    return _SECRET_KEY.search(_words(path[-1])) is not None


def _words(key: str) -> str:
    """A key with its words apart: `apiToken` as `api-token`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", key)
