"""Replays: which flushes are looked at, and what makes a state one that may be booted."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lab import cuts, replays, scenario, writelog
from lab.errors import LabError
from lab.offline import Found
from lab.session import Logged

FIRST = Found("provisioned", "volume-a", None, ("AZLA",), ("EFI/AZLA/a 1 ff", "EFI/b 1 0"), "clean")
KEEPS = re.compile("^EFI/AZLA/")


@pytest.mark.parametrize(
    ("count", "chosen"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, [*range(10)])]
)
def test_flushes_are_evenly_spread(count: int, chosen: list[int]) -> None:
    assert writelog.spread(range(10), count) == chosen


@pytest.mark.parametrize(
    ("most", "chosen"),
    [(1, {0}), (3, {0, 2, 5}), (4, {0, 2, 5, 1}), (5, {0, 2, 5, 1, 4}), (9, {*range(6)})],
)
def test_of_power_cuts_the_first_of_each_state_is_tried_and_others_evenly_spread(
    most: int, chosen: set[int]
) -> None:
    assert cuts.choose("aabbac", most) == chosen


def test_the_nvram_is_the_last_one_that_was_there() -> None:
    logged = Logged(begin=100, nvram=[(100, b"first"), (250, b"second")])
    assert [replays.nvram_at(logged, size) for size in (100, 249, 250, 900)] == [
        b"first",
        b"first",
        b"second",
        b"second",
    ]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (FIRST, None),
        (replace(FIRST, esp=("EFI/AZLA/a 1 ff", "EFI/b 2 9")), None),
        (replace(FIRST, esp_check="repairable: dirty bit"), None),
        (replace(FIRST, esp=("EFI/AZLA/a 1 00",)), "changed on the ESP: EFI/AZLA/a 1 ff"),
        (replace(FIRST, esp_check="broken: loops"), "the ESP: broken: loops"),
        (replace(FIRST, servicing_state="damaged: x"), "the datastore: damaged: x"),
    ],
)
def test_a_state_is_judged_by_what_must_stay(found: Found, told: str | None) -> None:
    assert replays.complaint(found, FIRST, KEEPS) == told


def test_a_log_needs_a_disk_that_is_known_before_the_first_write() -> None:
    text = "description: x\nsteps: [{powerOn: {}}]\nexpect: [{state: {equals: new}}]\nmachines:\n"
    with pytest.raises(LabError, match="logWrites needs a disk that starts from a snapshot"):
        scenario.parse(text + "  - disks: [{logWrites: true}]\n")
