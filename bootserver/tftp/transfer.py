"""One read transfer as a state machine: what to send, when to resend, when it is over. Pure.

RFC 1350 with the fix for the Sorcerer's Apprentice (a repeated ACK never causes a repeated DATA
in lockstep), RFC 2348 blksize, RFC 2349 timeout and tsize, RFC 7440 windowsize. Times are seconds
of any monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_BLOCK_SIZE = 512
MIN_BLOCK_SIZE, MAX_BLOCK_SIZE = 8, 65464
PACKET_OVERHEAD = 32
"""Bytes of IP, UDP and TFTP headers around a block."""
WINDOW_BYTES = 128 << 10
"""A window must fit into the socket's send buffer."""
FIRST_PATIENCE_S = 20.0
"""How long a client may leave the first answer unacknowledged."""
PATIENCE_S = 60.0
"""How long a client may make no progress later: GRUB stops reading while it hashes or waits."""
_FIRST_TIMEOUT_S, _MIN_TIMEOUT_S, _MAX_TIMEOUT_S = 1.0, 0.2, 8.0


@dataclass(frozen=True)
class Terms:
    """What client and server agreed on. `timeout_s` is None unless the client asked for one."""

    block_size: int = DEFAULT_BLOCK_SIZE
    window_size: int = 1
    timeout_s: int | None = None
    accepted: Mapping[str, str] = field(default_factory=dict)
    """For the OACK; without any option the first DATA is the answer."""


def negotiate(
    options: Mapping[str, str], size: int, path_mtu: int, max_block_size: int, max_window_size: int
) -> Terms:
    """Take the options we know, within our limits; ignore the rest, as RFC 2347 wants it."""
    accepted: dict[str, str] = {}
    block_size, window_size, timeout_s = DEFAULT_BLOCK_SIZE, 1, None
    wanted = _number(options.get("blksize"), MIN_BLOCK_SIZE, MAX_BLOCK_SIZE)
    if wanted is not None:
        limit = min(max_block_size, max(path_mtu - PACKET_OVERHEAD, DEFAULT_BLOCK_SIZE))
        block_size = min(wanted, limit)
        accepted["blksize"] = str(block_size)
    if _number(options.get("tsize"), 0, 1 << 63) is not None:
        accepted["tsize"] = str(size)
    timeout_s = _number(options.get("timeout"), 1, 255)
    if timeout_s is not None:
        accepted["timeout"] = str(timeout_s)
    wanted = _number(options.get("windowsize"), 1, 65535)
    if wanted is not None:
        window_size = min(wanted, max_window_size, max(WINDOW_BYTES // block_size, 1))
        accepted["windowsize"] = str(window_size)
    return Terms(block_size, window_size, timeout_s, accepted)


@dataclass(frozen=True)
class Window:
    """Send the blocks `first` to `last` (absolute numbers from 1; both included)."""

    first: int
    last: int


class OfferTerms:
    """Send the OACK."""


class GiveUp:
    """No progress for too long."""


class Done:
    """The last block is acknowledged."""


Step = Window | OfferTerms | GiveUp | Done | None


class Transfer:
    """Progress of one transfer of `size` bytes. `deadline` is when to call `expired` next."""

    def __init__(self, size: int, terms: Terms, now: float) -> None:
        self.size = size
        self.terms = terms
        self.last_block = size // terms.block_size + 1
        """A file that is a multiple of the block size ends with an empty block."""
        self.acknowledged = -1 if terms.accepted else 0
        """Highest block known to have arrived; -1 before the OACK is acknowledged."""
        self.deadline = now
        self._sent = self.acknowledged
        self._sent_at = now
        self._progress_at = now
        self._tries = 0
        self._fast_resend = False
        self._round_trip: float | None = None
        self._timeout = float(terms.timeout_s or _FIRST_TIMEOUT_S)

    @property
    def acknowledged_bytes(self) -> int:
        return min(max(self.acknowledged, 0) * self.terms.block_size, self.size)

    @property
    def awaits_last(self) -> bool:
        """All blocks have been sent."""
        return self._sent == self.last_block

    def idle_s(self, now: float) -> float:
        """Seconds since the client last made progress."""
        return now - self._progress_at

    def start(self, now: float) -> Step:
        """The first answer: OACK or the first window."""
        return self._send(now)

    def ack(self, wire_block: int, now: float) -> Step:
        """React to an ACK; None for one that is old or impossible."""
        block = self._absolute(wire_block)
        if block is None:
            return None
        if block > self.acknowledged:
            self._measure(now)
            self.acknowledged = block
            self._progress_at = now
            self._tries = 0
            self._fast_resend = False
            return Done() if block == self.last_block else self._send(now)
        return self._repeated(now)

    def expired(self, now: float) -> Step:
        """Resend after the deadline, or give up."""
        if self.terms.timeout_s is None:
            self._timeout = min(2 * self._timeout, _MAX_TIMEOUT_S)
        patience = PATIENCE_S if self.acknowledged > 0 else FIRST_PATIENCE_S
        patience = max(patience, 4.0 * (self.terms.timeout_s or 0))
        return GiveUp() if self.idle_s(now) >= patience else self._send(now)

    def _absolute(self, wire_block: int) -> int | None:
        """The block of a 16-bit number: the one in the window or just before it, if any."""
        lowest = max(self.acknowledged, 0)
        block = lowest + ((wire_block - lowest) & 0xFFFF)
        return block if block <= max(self._sent, 0) else None

    def _repeated(self, now: float) -> Step:
        """An ACK of what was known. With windows the client says so that the next block is missing:
        resend once, and not for an ACK that left before the window could arrive."""
        too_early = self._round_trip is None or now - self._sent_at < self._round_trip * 0.5
        if self.terms.window_size == 1 or self._fast_resend or too_early:
            return None
        self._fast_resend = True
        return self._send(now)

    def _send(self, now: float) -> Step:
        self._tries += 1
        self._sent_at = now
        self.deadline = now + self._timeout
        if self.acknowledged < 0:
            return OfferTerms()
        first = self.acknowledged + 1
        self._sent = min(first + self.terms.window_size - 1, self.last_block)
        return Window(first, self._sent)

    def _measure(self, now: float) -> None:
        """Learn from a round trip (RFC 6298's weight): the next timeout is four of them.

        An answer to a window that was resent tells nothing; the doubled timeout stays then, or a
        slow line would be flooded with copies (Karn).
        """
        if self._tries != 1:
            return
        sample = now - self._sent_at
        known = self._round_trip
        self._round_trip = sample if known is None else known + (sample - known) / 8
        if self.terms.timeout_s is None:
            self._timeout = min(max(4 * self._round_trip, _MIN_TIMEOUT_S), _MAX_TIMEOUT_S)


def _number(text: str | None, lowest: int, highest: int) -> int | None:
    """A decimal number within bounds; None for anything else: the option is then ignored."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 20:
        return None
    return number if lowest <= (number := int(text)) <= highest else None
