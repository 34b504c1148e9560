"""Boot scripts, word for word where firmware depends on it."""

from __future__ import annotations

from bootserver.boot import scripts
from bootserver.boot.scripts import Servicing

SERVICING = Servicing(
    "52:54:00:77:00:01", "http://10.77.0.1:8080", "ab" * 48, ("console=tty0", "quiet")
)
COMMAND_LINE = (
    "trident.rootfs=http://10.77.0.1:8080/artifacts/rootfs.squashfs "
    f"trident.rootfs.sha384={'ab' * 48} "
    "trident.server=http://10.77.0.1:8080 "
    "BOOTIF=01-52-54-00-77-00-01 console=tty0 quiet"
)


def test_the_command_line_names_everything_and_has_no_root() -> None:
    assert SERVICING.command_line == COMMAND_LINE
    assert not any(word.startswith("root=") for word in COMMAND_LINE.split())


def test_ipxe_loads_the_kernel_with_its_initrd_by_name() -> None:
    lines = scripts.ipxe_install(SERVICING).splitlines()
    base = "http://10.77.0.1:8080/artifacts"
    assert lines[0] == "#!ipxe"
    assert f"kernel {base}/vmlinuz initrd=initrd.img {COMMAND_LINE} || goto retry" in lines
    assert f"initrd --name initrd.img {base}/initrd.img || goto retry" in lines
    assert "boot || goto retry" in lines


def test_ipxe_asks_for_its_script_again_for_ever_with_pauses_of_at_most_32_seconds() -> None:
    text = scripts.ipxe_install(SERVICING)
    retry = text[text.index(":retry") :].splitlines()
    assert retry[2:] == [
        "sleep ${pause}",
        "iseq ${pause} 32 || inc pause ${pause}",
        "imgfree",
        "chain --replace --autofree http://10.77.0.1:8080/ipxe/52:54:00:77:00:01 || goto retry",
    ]


def test_ipxe_leaves_with_an_error_on_efi_and_boots_the_first_disk_on_bios() -> None:
    lines = scripts.ipxe_local("installed: boots its own disk").splitlines()
    assert lines[1] == "echo installed: boots its own disk"
    assert lines[2:4] == ["iseq ${platform} efi || goto bios", "exit 1"]
    assert lines[-1] == "sanboot --no-describe --drive 0x80 || exit 1"


def test_ipxe_says_its_serial_number_when_groups_need_it() -> None:
    text = scripts.ipxe_identify("http://10.77.0.1:8080", "52:54:00:77:00:01")
    assert "/ipxe/52:54:00:77:00:01?serial=${serial:uristring}" in text


def test_nothing_of_a_reason_is_run_by_a_script() -> None:
    evil = 'x\n"; exit 0; `${net0/mac}`\nchain http://evil/'
    for text in (scripts.ipxe_local(evil), scripts.grub_local(evil)):
        echo = next(line for line in text.splitlines() if line.startswith("echo"))
        assert "${" not in echo
        assert "`" not in echo
        assert "chain http" in echo, "it stays one line"


def test_grub_goes_on_to_the_config_of_its_mac_over_the_same_server() -> None:
    text = scripts.grub_static("10.77.0.1")
    assert "configfile (tftp,10.77.0.1)/grub/host/${net_default_mac}.cfg" in text


def test_grub_reads_kernel_and_initrd_until_it_has_them() -> None:
    text = scripts.grub_install(SERVICING, "10.77.0.1")
    assert f"until linux (tftp,10.77.0.1)/vmlinuz {COMMAND_LINE}; do" in text
    assert "until initrd (tftp,10.77.0.1)/initrd.img; do" in text
    assert text.endswith("boot\n")


def test_grub_starts_the_loader_of_the_active_volume_before_the_fallback() -> None:
    text = scripts.grub_local("installed", "volume-b")
    assert text.index("/EFI/AZLB/BOOTX64.EFI") < text.index("/EFI/BOOT/BOOTX64.EFI")
    assert "AZLA" not in text


def test_grub_starts_the_fallback_loader_when_the_volume_is_unknown() -> None:
    text = scripts.grub_local("installed")
    assert "AZL" not in text
    assert "set root=$esp\n  chainloader ($esp)/EFI/BOOT/BOOTX64.EFI" in text
