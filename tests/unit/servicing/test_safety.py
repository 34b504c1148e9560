from __future__ import annotations

import pytest

from agent.api.errors import TridentError
from agent.servicing.safety import RunningSystem, classify, require_servicing_system


@pytest.mark.parametrize(
    ("cmdline", "filesystem", "expected"),
    [
        ("trident.rootfs=http://x/y console=ttyS0", "overlay", RunningSystem.RAMDISK),
        ("root=/dev/ram0", "rootfs", RunningSystem.RAMDISK),
        ("root=live:CDLABEL=X", "overlay", RunningSystem.LIVE),
        ("root=/dev/sda2 ro", "ext4", RunningSystem.PERSISTENT),
        ("root=PARTUUID=1 systemd.x='a b'", "overlay", RunningSystem.PERSISTENT),
        ("root=live:X root=/dev/sda2", "ext4", RunningSystem.PERSISTENT),
        ("quiet", "ext4", RunningSystem.PERSISTENT),
        ("quiet", "btrfs", RunningSystem.PERSISTENT),
        ("broken='quote root=/dev/sda2", "ext4", RunningSystem.PERSISTENT),
        ("", "tmpfs", RunningSystem.RAMDISK),
    ],
)
def test_a_system_is_known_by_its_command_line_and_root(
    cmdline: str, filesystem: str, expected: RunningSystem
) -> None:
    assert classify(cmdline, filesystem) is expected


def test_a_disk_system_is_refused_unless_the_operator_overrides() -> None:
    with pytest.raises(TridentError) as caught:
        require_servicing_system("root=/dev/sda2", "ext4", overridden=False)
    assert caught.value.identifier == "initialization/clean-install-safety-check"
    require_servicing_system("root=/dev/sda2", "ext4", overridden=True)
    require_servicing_system("", "overlay", overridden=False)
