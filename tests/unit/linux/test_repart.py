"""Definition files for systemd-repart, and the space it lays partitions out in."""

from __future__ import annotations

from agent.linux import repart
from agent.linux.repart import Definition

LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
UUID = "21111111-1111-4111-8111-111111111111"


def test_a_fixed_partition_has_equal_limits() -> None:
    assert repart.render(Definition(LINUX, "data", UUID, 8192)) == (
        "[Partition]\n"
        f"Type={LINUX}\n"
        "Label=data\n"
        f"UUID={UUID}\n"
        "GrowFileSystem=no\n"
        "SizeMinBytes=8192\n"
        "SizeMaxBytes=8192\n"
    )


def test_a_growing_partition_has_no_limits() -> None:
    assert "Size" not in repart.render(Definition(LINUX, "data", UUID, None))


def test_a_percent_sign_in_a_label_is_no_specifier() -> None:
    assert "Label=50%%m\n" in repart.render(Definition(LINUX, "50%m", UUID, None))


def test_usable_space_is_what_is_between_both_copies_of_the_table() -> None:
    assert repart.usable_bytes(2 << 30, 512) == (2 << 30) - (1 << 20) - 20480
    assert repart.usable_bytes(2 << 30, 4096) == (2 << 30) - (1 << 20) - 20480
    assert repart.usable_bytes(1 << 20, 512) == 0
