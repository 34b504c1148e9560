"""IPv4 and UDP headers by hand, for a client that has no address yet. Pure.

RFC 791, 768, 1071. The Ethernet header is the kernel's (AF_PACKET, SOCK_DGRAM).
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

ETHERTYPE_IPV4 = 0x0800
_UDP = 17
_TTL = 64
_IP_HEADER = struct.Struct("!BBHHHBBH4s4s")
_UDP_HEADER = struct.Struct("!HHHH")


def datagram(
    source: tuple[IPv4Address, int], destination: tuple[IPv4Address, int], payload: bytes
) -> bytes:
    """An IPv4 packet with one UDP datagram, checksums filled in."""
    udp_size = _UDP_HEADER.size + len(payload)
    addresses = source[0].packed + destination[0].packed
    ports = (source[1], destination[1], udp_size)
    pseudo = addresses + struct.pack("!BBH", 0, _UDP, udp_size)
    udp_sum = checksum(pseudo + _UDP_HEADER.pack(*ports, 0) + payload) or 0xFFFF
    total = _IP_HEADER.size + udp_size
    ip = (0x45, 0, total, 0, 0, _TTL, _UDP)
    ip_sum = checksum(_IP_HEADER.pack(*ip, 0, addresses[:4], addresses[4:]))
    return (
        _IP_HEADER.pack(*ip, ip_sum, addresses[:4], addresses[4:])
        + _UDP_HEADER.pack(*ports, udp_sum)
        + payload
    )


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of `data`, padded with a zero byte when odd."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
