"""Whether what was seen is what was asked for. Pure: each function answers None or a complaint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from lab import scenario
from lab.console import Answer
from lab.firmware import Nvram
from lab.record import Event, HostRecord, missing_in_order, status_value


def text(wanted: scenario.Text, seen: str) -> str | None:
    """Patterns that must and must not occur in a text."""
    for pattern in wanted.contains:
        if not re.search(pattern, seen, re.MULTILINE):
            return f"/{pattern}/ does not occur"
    for pattern in wanted.lacks:
        found = re.search(pattern, seen, re.MULTILINE)
        if found:
            return f"/{pattern}/ occurs: {found[0]!r}"
    return None


def guest(wanted: scenario.GuestCommand, answer: Answer) -> str | None:
    """Exit status and output of a guest command."""
    if wanted.status is not None and answer.status != wanted.status:
        return f"ended with {answer.status}, not {wanted.status}: {answer.output[-1000:]!r}"
    if wanted.contains is not None and not re.search(wanted.contains, answer.output, re.MULTILINE):
        return f"printed no /{wanted.contains}/ but {answer.output[-1000:]!r}"
    if wanted.lacks is not None and re.search(wanted.lacks, answer.output, re.MULTILINE):
        return f"printed /{wanted.lacks}/: {answer.output[-1000:]!r}"
    return None


def timeline(wanted: scenario.Timeline, events: Sequence[Event]) -> str | None:
    """Events that must occur in order, and events that must not occur."""
    names = [event.name for event in events]
    missing = missing_in_order(names, wanted.contains)
    if missing:
        return f"{missing[0]} does not occur (in this order) in {' '.join(_folded(names))}"
    unwanted = [name for name in wanted.lacks if name in names]
    return f"{unwanted[0]} occurs" if unwanted else None


def host_status(wanted: scenario.Value, record: HostRecord | None) -> str | None:
    """A value in the Host Status that the agent reported."""
    value = status_value(record.host_status if record else None, wanted.path)
    return None if value == wanted.equals else f"{wanted.path} is {value!r}, not {wanted.equals!r}"


def state(wanted: scenario.State, record: HostRecord | None) -> str | None:
    """The machine's state at the server."""
    seen = record.state if record else None
    return None if seen == wanted.equals else f"the state is {seen}, not {wanted.equals}"


def served_medium(
    wanted: scenario.ServedMedium, record: HostRecord | None, digest: Callable[[str], str]
) -> str | None:
    """The announced medium, against what `digest` finds behind its URL."""
    if record is None or record.iso is None:
        return "the server announces no medium"
    if record.iso.problem is not None:
        return f"the server serves no medium: {record.iso.problem}"
    if record.iso.installs is not wanted.installs:
        return f"the medium {'installs' if record.iso.installs else 'boots the disk'}"
    found = digest(record.iso.url)
    if found != record.iso.sha384:
        return f"what is served has the SHA-384 {found}, announced was {record.iso.sha384}"
    return None


def last_error(wanted: scenario.LastError, record: HostRecord | None) -> str | None:
    """Patterns over the JSON of the machine's last error."""
    if record is None or record.last_error is None:
        return "the server holds no error"
    return text(scenario.Text(contains=wanted.contains), json.dumps(record.last_error))


def boot_entries(wanted: scenario.BootEntries, nvram: Nvram | None) -> str | None:
    """Titles in the firmware's boot variables."""
    if nvram is None:
        return "the machine has no NVRAM"
    titles = "\n".join(entry.title for entry in nvram.entries)
    complaint = text(scenario.Text(contains=wanted.contains, lacks=wanted.lacks), titles)
    if complaint:
        return f"among the boot entries {complaint}"
    if wanted.first is None:
        return None
    ordered = nvram.ordered()
    first = ordered[0].title if ordered else "nothing"
    return None if re.search(wanted.first, first) else f"BootOrder begins with {first!r}"


def started(wanted: scenario.Started, titles: Sequence[str]) -> str | None:
    """The boot entries that the firmware started: these, in this order, and no others."""
    same = len(titles) == len(wanted.titles) and all(
        re.search(pattern, title) for pattern, title in zip(wanted.titles, titles, strict=True)
    )
    return None if same else f"the firmware started {', '.join(titles) or 'nothing'}"


def resumed(events: Sequence[Event], offset: int, size: int) -> str | None:
    """Whether one of these requests for an image began inside its bytes offset .. offset+size."""
    starts = [event.detail.get("start") for event in events if event.name == "http/image"]
    inside = [one for one in starts if isinstance(one, int) and offset < one < offset + size]
    return None if inside else f"image requests began at {starts}, none inside the root image"


def _folded(names: Sequence[str]) -> list[str]:
    return [name for number, name in enumerate(names) if number == 0 or names[number - 1] != name]
