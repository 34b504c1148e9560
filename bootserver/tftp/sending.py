"""Sends a window of DATA packets with as few system calls as the kernel allows.

One preadv fills all blocks of a batch in place, one sendmsg with UDP_SEGMENT (generic segmentation
offload) sends them; where the device can't, they go one by one. Not thread-safe: one per server.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

from bootserver.tftp.content import Source
from bootserver.tftp.packet import HEADER_SIZE, Opcode
from bootserver.tftp.transfer import Window

_UDP_SEGMENT = 103
"""Linux: <linux/udp.h>."""
_MAX_SEGMENTS = 64
_MAX_DATAGRAM = 65_507
_KEPT_BUFFERS = 8
_NO_OFFLOAD = {errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP}
_QUEUE_FULL = {errno.EAGAIN, errno.ENOBUFS}
_HEADER = struct.Struct("!HH")


class Truncated(Exception):
    """The file is shorter than when the transfer started."""


@dataclass(frozen=True)
class _Buffer:
    """Room for one batch: packets back to back, `parts` the places of their blocks."""

    view: memoryview
    parts: list[memoryview]


class WindowSender:
    """Sends windows of any block size through connected sockets."""

    def __init__(self) -> None:
        self._buffers: dict[int, _Buffer] = {}

    def send(
        self, sock: socket.socket, source: Source, block_size: int, window: Window, offload: bool
    ) -> bool:
        """Send the blocks of `window`; returns whether offload still works on this socket.

        Blocks that the send queue doesn't take are lost packets. Raises Truncated, OSError.
        """
        buffer = self._buffer(block_size)
        batch = len(buffer.parts)
        for first in range(window.first, window.last + 1, batch):
            count = min(batch, window.last + 1 - first)
            used = _fill(buffer, source, block_size, first, count)
            try:
                offload = _emit(sock, buffer.view[:used], block_size + HEADER_SIZE, offload)
            except OSError as error:
                if error.errno not in _QUEUE_FULL:
                    raise
                return offload
        return offload

    def _buffer(self, block_size: int) -> _Buffer:
        buffer = self._buffers.get(block_size)
        if buffer is None:
            if len(self._buffers) >= _KEPT_BUFFERS:
                self._buffers.clear()
            buffer = self._buffers[block_size] = _make_buffer(block_size)
        return buffer


def _make_buffer(block_size: int) -> _Buffer:
    step = block_size + HEADER_SIZE
    count = max(min(_MAX_SEGMENTS, _MAX_DATAGRAM // step), 1)
    view = memoryview(bytearray(count * step))
    parts = [view[start + HEADER_SIZE : start + step] for start in range(0, count * step, step)]
    return _Buffer(view, parts)


def _fill(buffer: _Buffer, source: Source, block_size: int, first: int, count: int) -> int:
    """Put `count` packets from block `first` on into the buffer; their bytes. Raises Truncated."""
    offset = (first - 1) * block_size
    wanted = min(source.size - offset, count * block_size)
    if wanted > 0 and source.read_into(buffer.parts[:count], offset) < wanted:
        raise Truncated
    for index in range(count):
        position = index * (block_size + HEADER_SIZE)
        _HEADER.pack_into(buffer.view, position, Opcode.DATA, (first + index) & 0xFFFF)
    return wanted + count * HEADER_SIZE


def _emit(sock: socket.socket, packets: memoryview, step: int, offload: bool) -> bool:
    """Send packets of `step` bytes each (the last may be shorter)."""
    if len(packets) <= step:
        sock.send(packets)
        return offload
    if offload:
        control = [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", step))]
        try:
            sock.sendmsg([packets], control)
        except OSError as error:
            if error.errno not in _NO_OFFLOAD:
                raise
        else:
            return True
    for start in range(0, len(packets), step):
        sock.send(packets[start : start + step])
    return False
