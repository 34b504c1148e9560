"""Hand-made headers, checked by an independent implementation."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP

from bootserver.dhcp import frame

SOURCE = (IPv4Address("10.77.0.1"), 67)
DESTINATION = (IPv4Address("10.77.0.9"), 68)


@given(st.binary(max_size=1400))
def test_headers_and_checksums_are_what_another_stack_computes(payload: bytes) -> None:
    data = frame.datagram(SOURCE, DESTINATION, payload)
    theirs = IP(data)
    assert (theirs.src, theirs.dst, theirs[UDP].sport, theirs[UDP].dport) == (
        "10.77.0.1",
        "10.77.0.9",
        67,
        68,
    )
    assert bytes(theirs[UDP].payload) == payload
    rebuilt = IP(data)
    del rebuilt.chksum, rebuilt[UDP].chksum
    assert bytes(rebuilt) == data


def test_a_checksum_of_zero_is_sent_as_ones() -> None:
    payloads = (number.to_bytes(2, "big") for number in range(65536))
    sums = (frame.datagram(SOURCE, DESTINATION, one)[26:28] for one in payloads)
    assert b"\0\0" not in set(sums)
