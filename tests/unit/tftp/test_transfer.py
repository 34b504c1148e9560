"""The state machine of a transfer, driven without sockets over a simulated lossy line."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootserver.tftp.transfer import (
    FIRST_PATIENCE_S,
    PATIENCE_S,
    Done,
    GiveUp,
    OfferTerms,
    Step,
    Terms,
    Transfer,
    Window,
    negotiate,
)

TRIP_S = 0.01


def terms(block_size: int = 512, window_size: int = 1, **accepted: str) -> Terms:
    return Terms(block_size, window_size, None, accepted)


def agreed(size: int = 5000, mtu: int = 1500, **options: str) -> Terms:
    return negotiate(options, size, mtu, 65464, 64)


def test_all_options_are_accepted_with_the_values_used() -> None:
    found = agreed(blksize="1024", tsize="0", timeout="3", windowsize="16")
    assert found == Terms(
        1024, 16, 3, {"blksize": "1024", "tsize": "5000", "timeout": "3", "windowsize": "16"}
    )


@pytest.mark.parametrize(
    ("wanted", "mtu", "used"),
    [("65464", 1500, 1468), ("65464", 65536, 65464), ("8", 1500, 8), ("1468", 576, 544)],
)
def test_a_block_is_no_larger_than_the_path_takes(wanted: str, mtu: int, used: int) -> None:
    assert agreed(blksize=wanted, mtu=mtu).block_size == used


def test_a_window_fits_the_send_buffer_and_our_limit() -> None:
    assert agreed(windowsize="65535").window_size == 64
    assert agreed(windowsize="64", blksize="65464", mtu=65536).window_size == 2


@pytest.mark.parametrize(
    "options",
    [
        {"blksize": "7"},
        {"blksize": "65465"},
        {"blksize": "-1"},
        {"blksize": "1e3"},
        {"blksize": "٣٢"},
        {"blksize": "9" * 30},
        {"timeout": "0"},
        {"timeout": "256"},
        {"timeout": "2.0"},
        {"windowsize": "0"},
        {"tsize": "x"},
        {"multicast": ""},
    ],
)
def test_an_impossible_option_is_ignored(options: dict[str, str]) -> None:
    assert negotiate(options, 5000, 1500, 65464, 64) == Terms()


def test_without_options_the_first_block_is_the_answer() -> None:
    assert Transfer(100, terms(), 0.0).start(0.0) == Window(1, 1)


def test_with_options_data_waits_for_the_acknowledged_oack() -> None:
    one = Transfer(100, terms(tsize="100"), 0.0)
    assert isinstance(one.start(0.0), OfferTerms)
    assert one.ack(1, TRIP_S) is None
    assert one.ack(0, TRIP_S) == Window(1, 1)


@pytest.mark.parametrize(("size", "blocks"), [(0, 1), (511, 1), (512, 2), (513, 2), (1024, 3)])
def test_the_last_block_is_shorter_than_a_full_one(size: int, blocks: int) -> None:
    assert Transfer(size, terms(), 0.0).last_block == blocks


def test_a_window_ends_at_the_last_block() -> None:
    one = Transfer(512 * 5 + 1, terms(window_size=4), 0.0)
    assert one.start(0.0) == Window(1, 4)
    assert one.ack(4, TRIP_S) == Window(5, 6)
    assert isinstance(one.ack(6, 2 * TRIP_S), Done)
    assert one.acknowledged_bytes == 512 * 5 + 1


def test_a_partial_acknowledgement_moves_the_window() -> None:
    one = Transfer(512 * 20, terms(window_size=8), 0.0)
    one.start(0.0)
    assert one.ack(3, TRIP_S) == Window(4, 11)


def test_a_repeated_acknowledgement_never_doubles_the_data_in_lockstep() -> None:
    one = Transfer(512 * 20, terms(), 0.0)
    one.start(0.0)
    assert one.ack(1, TRIP_S) == Window(2, 2)
    assert [one.ack(1, TRIP_S * n) for n in range(2, 9)] == [None] * 7


def test_a_missing_first_block_of_a_window_is_resent_once_and_not_too_early() -> None:
    one = Transfer(512 * 100, terms(window_size=8), 0.0)
    one.start(0.0)
    assert one.ack(8, TRIP_S) == Window(9, 16)
    assert one.ack(8, TRIP_S * 1.1) is None
    assert one.ack(8, TRIP_S * 2) == Window(9, 16)
    assert one.ack(8, TRIP_S * 3) is None


@pytest.mark.parametrize("block", [9, 17, 40000, 65535])
def test_an_acknowledgement_of_what_was_never_sent_is_ignored(block: int) -> None:
    one = Transfer(512 * 100, terms(window_size=8), 0.0)
    one.start(0.0)
    assert one.ack(block, TRIP_S) is None


def test_block_numbers_go_on_beyond_65535() -> None:
    one = Transfer(8 * 200_000, terms(block_size=8, window_size=64), 0.0)
    step, now = one.start(0.0), 0.0
    while isinstance(step, Window):
        now += TRIP_S
        step = one.ack(step.last & 0xFFFF, now)
    assert isinstance(step, Done)
    assert one.acknowledged == 200_001


def test_timeouts_double_and_the_client_is_given_up() -> None:
    one = Transfer(5000, terms(), 0.0)
    one.start(0.0)
    sent, now = [0.0], 0.0
    for _ in range(100):
        now = one.deadline
        if isinstance(one.expired(now), GiveUp):
            break
        sent.append(now)
    assert sent == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert FIRST_PATIENCE_S <= now < FIRST_PATIENCE_S + 8


def test_a_client_that_pauses_in_the_middle_is_given_more_time() -> None:
    one = Transfer(5000, terms(), 0.0)
    one.start(0.0)
    one.ack(1, TRIP_S)
    now = TRIP_S
    while not isinstance(one.expired(now), GiveUp):
        now = one.deadline
    assert now >= PATIENCE_S


def test_the_clients_own_timeout_is_used_as_it_is() -> None:
    one = Transfer(5000, negotiate({"timeout": "7"}, 5000, 1500, 65464, 64), 0.0)
    one.start(0.0)
    assert one.deadline == 7.0
    one.expired(7.0)
    assert one.deadline == 14.0


def test_a_quick_client_is_resent_to_quickly() -> None:
    one = Transfer(512 * 100, terms(), 0.0)
    one.start(0.0)
    one.ack(1, TRIP_S)
    assert one.deadline == pytest.approx(TRIP_S + 0.2)


def test_on_a_slow_line_the_timeout_stays_long_until_a_clean_answer() -> None:
    one = Transfer(512 * 100, terms(window_size=4), 0.0)
    one.start(0.0)
    one.expired(1.0)
    one.ack(4, 2.5)
    assert one.deadline == 2.5 + 2.0
    one.ack(8, 2.6)
    assert one.deadline == pytest.approx(2.6 + 0.4)


@dataclass
class LossyLine:
    """A receiver as RFC 7440 describes it behind a line that loses packets both ways."""

    last_block: int
    window_size: int
    loss: float
    random: random.Random
    received: int = 0
    """Blocks that arrived in order."""
    sent: int = 0
    _gap_told: bool = False

    def carry(self, step: Step) -> list[int]:
        """Deliver what survives of a step; the acknowledgements that survive the way back."""
        acks: list[int] = []
        if isinstance(step, OfferTerms) and self._survives():
            acks.append(0)
        elif isinstance(step, Window):
            self.sent += step.last - step.first + 1
            for block in range(step.first, step.last + 1):
                if self._survives():
                    acks += self._take(block)
        return [ack for ack in acks if self._survives()]

    def _take(self, block: int) -> list[int]:
        if block == self.received + 1:
            self.received, self._gap_told = block, False
            complete = block % self.window_size == 0 or block == self.last_block
            return [block] if complete else []
        if self._gap_told and block > self.received:
            return []
        self._gap_told = True
        return [self.received]

    def _survives(self) -> bool:
        return self.random.random() >= self.loss


def finish(one: Transfer, line: LossyLine) -> float:
    """Run a transfer to its end; the time it took. Fails if it is given up."""
    now = 0.0
    step = one.start(now)
    while not isinstance(step, Done):
        assert not isinstance(step, GiveUp)
        acks = line.carry(step)
        now += TRIP_S
        step = None
        for ack in acks:
            step = one.ack(ack & 0xFFFF, now) or step
            if isinstance(step, Done):
                return now
        if step is None:
            now = max(now, one.deadline)
            step = one.expired(now)
    return now


def lossy(blocks: int, window_size: int, loss: float, seed: int) -> LossyLine:
    return LossyLine(blocks, window_size, loss, random.Random(seed))


@settings(max_examples=60, deadline=None)
@given(
    blocks=st.integers(1, 300),
    window_size=st.sampled_from([1, 2, 7, 32, 64]),
    loss=st.sampled_from([0.0, 0.01, 0.1]),
    seed=st.integers(0, 1000),
    oack=st.booleans(),
)
def test_every_block_arrives_whatever_the_line_loses(
    blocks: int, window_size: int, loss: float, seed: int, oack: bool
) -> None:
    asked = Terms(512, window_size, None, {"tsize": "1"} if oack else {})
    one = Transfer(512 * (blocks - 1), asked, 0.0)
    line = lossy(blocks, window_size, loss, seed)
    finish(one, line)
    assert line.received == blocks
    if loss == 0.0:
        assert line.sent == blocks


def test_one_percent_loss_costs_little_with_windows() -> None:
    one = Transfer(512 * 4999, terms(window_size=32, tsize="1"), 0.0)
    line = lossy(5000, 32, 0.01, 1)
    assert finish(one, line) < 15
    assert line.sent < 5000 * 1.4
