"""The boot server, as the installer sees it: one Host Configuration in, one failure report out.

A machine room's servers restart and its switches take their time: what can heal is retried with
back-off within a limit; what only an operator can mend fails at once with what to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests

from agent.api.errors import Kind, TridentError

UNREACHABLE = "boot-server-unreachable"
"""The code of the error that says that no boot server answered."""
NOT_GRANTED = "reinstall-not-granted"
"""The code of the error that says that the machine is installed, as the boot server knows."""
_REINSTALL = "Trident-Reinstall"
RETRY_FOR_S = 600.0
_CONNECT_S, _READ_S = 5.0, 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0
_LARGEST_BYTES = 1 << 20
_HEALING = frozenset({404, 408, 425, 429, 500, 502, 503, 504})
"""404 heals too: an operator may be declaring the machine this minute."""


@dataclass(frozen=True)
class Answer:
    """A Host Configuration, and whether an operator wants the machine to be installed again."""

    text: str
    reinstall: bool = False


def configuration(
    server: str,
    mac: str,
    *,
    retry_for_s: float = RETRY_FOR_S,
    pause: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None],
) -> Answer:
    """The YAML text of this machine's Host Configuration.

    `tell` gets one line for each attempt that failed and will be repeated.
    Raises initialization/query-for-updates: refused, or not had within `retry_for_s` seconds;
    boot-server-unreachable: nothing answered in that time; reinstall-not-granted.
    """
    url = f"{server}/v1/hosts/{mac}/config"
    deadline = time.monotonic() + retry_for_s
    answered = False
    for wait_s in _pauses():
        answer = _get(url)
        if isinstance(answer, requests.Response) and answer.status_code == 200:
            return Answer(_text(answer), answer.headers.get(_REINSTALL) == "granted")
        problem = _problem(answer)
        if isinstance(answer, requests.Response) and answer.status_code not in _HEALING:
            raise _refused(url, answer.status_code, problem, _field(answer, "hint"))
        answered = answered or isinstance(answer, requests.Response)
        if time.monotonic() + wait_s > deadline:
            why = f"no Host Configuration from {url} within {retry_for_s:g} s: {problem}"
            raise _unavailable(why, mac) if answered else _unreachable(why)
        tell(f"no Host Configuration yet ({problem}); next try in {wait_s:g} s")
        pause(wait_s)
    raise AssertionError("the pauses never end")


def report_failure(server: str, mac: str, error: TridentError) -> bool:
    """Tell the boot server why nothing was installed; whether it took the report."""
    body = {"state": "failed", "message": error.render(), "host_status": None}
    try:
        answer = requests.post(
            f"{server}/v1/hosts/{mac}/phonehome", json=body, timeout=(_CONNECT_S, _READ_S)
        )
    except requests.RequestException:
        return False
    return answer.ok


def _pauses() -> Iterator[float]:
    wait_s = _FIRST_PAUSE_S
    while True:
        yield wait_s
        wait_s = min(wait_s * 2, _LONGEST_PAUSE_S)


def _get(url: str) -> requests.Response | requests.RequestException:
    try:
        return requests.get(url, timeout=(_CONNECT_S, _READ_S), stream=True, allow_redirects=False)
    except requests.RequestException as error:
        return error


def _text(answer: requests.Response) -> str:
    data = answer.raw.read(_LARGEST_BYTES + 1, decode_content=True)
    if len(data) > _LARGEST_BYTES:
        raise TridentError(
            Kind.INVALID_INPUT,
            "parse-host-configuration",
            "the boot server's Host Configuration is larger than 1 MiB",
            hint="make the Host Configuration smaller on the boot server",
        )
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise TridentError(
            Kind.INVALID_INPUT,
            "parse-host-configuration",
            "the boot server's Host Configuration is not UTF-8 text",
            hint="store the Host Configuration anew on the boot server",
        ) from error


def _problem(answer: requests.Response | requests.RequestException) -> str:
    if isinstance(answer, requests.Response):
        return _field(answer, "error") or f"HTTP status {answer.status_code}"
    return "the boot server does not answer"


def _field(answer: requests.Response, name: str) -> str | None:
    """A text field of the server's JSON error body, if it sent one."""
    try:
        value = answer.json().get(name)
    except (requests.RequestException, ValueError, AttributeError):
        return None
    return value if isinstance(value, str) else None


def _refused(url: str, status: int, problem: str, hint: str | None) -> TridentError:
    message = f"the boot server refused the Host Configuration ({status}): {problem}"
    advice = hint or f"look at {url.removesuffix('/config')} on the boot server"
    if status == 409:
        return TridentError(Kind.INITIALIZATION, "reinstall-not-granted", message, hint=advice)
    return TridentError(Kind.INITIALIZATION, "query-for-updates", message, hint=advice)


def _unavailable(why: str, mac: str) -> TridentError:
    return TridentError(
        Kind.INITIALIZATION,
        "query-for-updates",
        why,
        hint=f"declare {mac} with `trident-bootserver hosts add`",
    )


def _unreachable(why: str) -> TridentError:
    return TridentError(
        Kind.INITIALIZATION,
        "boot-server-unreachable",
        why,
        hint="start the boot server, or correct its address (trident.server)",
    )
