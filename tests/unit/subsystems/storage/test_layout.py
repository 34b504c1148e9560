"""From a configuration and disks to partitions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api.errors import TridentError
from agent.api.parttypes import Architecture
from agent.linux import repart
from agent.subsystems.storage import layout
from agent.subsystems.storage.layout import Layout
from tests.unit.subsystems.storage.samples import GIB, MIB, configuration, disk

TWO_DISKS = """
storage:
  disks:
  - {id: one, device: /dev/sda, partitionTableType: gpt, partitions: [{id: a, size: 1G}]}
  - {id: two, device: /dev/disk/by-id/x, partitionTableType: gpt, partitions: [{id: b, size: 1G}]}
"""


def counted() -> Callable[[], UUID]:
    numbers = itertools.count(1)
    return lambda: UUID(int=next(numbers))


def resolved(size_bytes: int = 8 * GIB, text: str | None = None) -> Layout:
    storage = (configuration(text) if text else configuration()).storage
    return layout.resolve(
        storage, {"os": disk(size_bytes=size_bytes)}, Architecture.X86_64, counted()
    )


def inner(error: pytest.ExceptionInfo[TridentError]) -> str:
    assert error.value.code == "invalid-host-configuration-dynamic"
    return error.value.fields["inner"]


def test_every_partition_has_type_label_uuid_and_size() -> None:
    esp, root_a, _, _, trident, srv = resolved().disks[0].partitions
    assert str(esp.type) == "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
    assert (esp.size_bytes, esp.label, esp.grows) == (64 * MIB, "esp", False)
    assert str(root_a.uuid) == "21111111-1111-4111-8111-111111111111"
    assert str(root_a.path) == "/dev/disk/by-partuuid/21111111-1111-4111-8111-111111111111"
    assert trident.label == "Trident data"
    assert srv.grows
    assert srv.definition().size_bytes is None


def test_open_uuids_are_made_and_differ() -> None:
    uuids = [partition.uuid for partition in resolved().disks[0].partitions]
    assert len(set(uuids)) == 6


def test_a_growing_partition_gets_what_is_left() -> None:
    sizes = resolved().sizes()
    assert sum(sizes.values()) == repart.usable_bytes(8 * GIB, 512)
    assert sizes["srv"] == repart.usable_bytes(8 * GIB, 512) - 2 * GIB - 640 * MIB


def test_a_disk_that_is_one_grain_too_small_is_refused_with_the_numbers() -> None:
    needed = 2 * GIB + 640 * MIB + layout.MINIMUM_GROW_BYTES
    smallest = needed + (1 << 20) + 20480
    assert resolved(smallest).sizes()["srv"] == layout.MINIMUM_GROW_BYTES
    with pytest.raises(TridentError, match="is too small") as caught:
        resolved(smallest - repart.GRAIN_BYTES)
    assert inner(caught) == "disk-too-small"
    assert caught.value.fields["neededBytes"] == str(needed)
    assert caught.value.fields["availableBytes"] == str(needed - repart.GRAIN_BYTES)


@given(st.integers(0, 6), st.integers(0, 20_000))
def test_shares_of_growing_partitions_are_equal_and_never_too_much(
    growing: int, extra_grains: int
) -> None:
    parts = [f"{{id: p{number}, size: grow}}" for number in range(growing)]
    parts.append("{id: fixed, size: 1M}")
    text = (
        "storage: {disks: [{id: os, device: /dev/sda, partitionTableType: gpt, "
        f"partitions: [{', '.join(parts)}]}}]}}"
    )
    size_bytes = 16 * MIB + extra_grains * 512
    sizes = resolved(size_bytes, text).sizes()
    assert sum(sizes.values()) <= repart.usable_bytes(size_bytes, 512)
    shares = {sizes[f"p{number}"] for number in range(growing)}
    assert len(shares) <= 1
    assert all(share % repart.GRAIN_BYTES == 0 for share in shares)


def test_two_names_for_one_device_are_refused() -> None:
    same = {"one": disk(), "two": disk()}
    with pytest.raises(
        TridentError, match="'one', 'two' are all the same device, /dev/sda"
    ) as caught:
        layout.resolve(configuration(TWO_DISKS).storage, same, Architecture.X86_64, counted())
    assert inner(caught) == "disk-definitions-refer-to-same-device"


def test_two_devices_are_two_disks() -> None:
    found = {"one": disk(), "two": disk("/dev/sdb")}
    both = layout.resolve(configuration(TWO_DISKS).storage, found, Architecture.X86_64, counted())
    assert [str(planned.path) for planned in both.disks] == ["/dev/sda", "/dev/sdb"]
    assert both.sizes() == {"a": GIB, "b": GIB}


def test_a_partition_is_no_disk() -> None:
    with pytest.raises(TridentError, match="is not a whole disk but of type 'part'") as caught:
        layout.resolve(
            configuration().storage, {"os": disk(type="part")}, Architecture.X86_64, counted()
        )
    assert inner(caught) == "not-a-disk"


@pytest.mark.parametrize(
    ("label", "fits"), [("x" * 36, True), ("x" * 37, False), ("🐧" * 18, True), ("🐧" * 19, False)]
)
def test_a_label_has_at_most_36_utf_16_units(label: str, fits: bool) -> None:
    text = (
        "storage: {disks: [{id: os, device: /dev/sda, partitionTableType: gpt, "
        f"partitions: [{{id: p, size: 1M, label: {label}}}]}}]}}"
    )
    if fits:
        assert resolved(text=text).disks[0].partitions[0].label == label
        return
    with pytest.raises(TridentError, match="longer than 36") as caught:
        resolved(text=text)
    assert inner(caught) == "partition-label-too-long"


def test_the_root_type_is_that_of_the_machine() -> None:
    planned = layout.resolve(
        configuration().storage, {"os": disk()}, Architecture.AARCH64, counted()
    )
    assert str(planned.disks[0].partitions[1].type) == "b921b045-1df0-41c3-af44-4c6f280d3fae"
