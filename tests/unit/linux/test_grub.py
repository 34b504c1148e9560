"""Pointing a grub.cfg at a file system."""

from __future__ import annotations

import pytest

from agent.api.errors import TridentError
from agent.linux import grub

OLD = "1adc13e8-f140-4109-9eee-bd8e1efe96b8"
NEW = "88d2fa9b-7a32-450a-a9f8-aa9c3de79298"


@pytest.mark.parametrize(
    "line",
    [
        f"search -n -u {OLD} -s",
        f"search --no-floppy --fs-uuid --set=root {OLD}",
        f"search --fs-uuid --set=root --hint=hd0,gpt2 {OLD}",
        f"    search --no-floppy --set=root --fs-uuid {OLD}",
        f"search.fs_uuid {OLD} root hd0,gpt2",
        "search -u AB12-34CD -s",
    ],
)
def test_every_form_of_search_by_uuid_is_patched(line: str) -> None:
    config = f"set timeout=1\n{line}\nconfigfile /boot/grub/grub.cfg\n"
    patched = grub.set_boot_filesystem(config, NEW)
    assert patched == config.replace(OLD, NEW).replace("AB12-34CD", NEW)


def test_only_search_commands_are_patched() -> None:
    config = f"search --fs-uuid --set=root {OLD}\nlinux /vmlinuz root=UUID={OLD} ro\n"
    assert f"root=UUID={OLD}" in grub.set_boot_filesystem(config, NEW)


@pytest.mark.parametrize("line", ["search --label --set=root ROOT", "# nothing", ""])
def test_a_config_that_searches_by_no_uuid_is_refused(line: str) -> None:
    with pytest.raises(TridentError, match="no 'search' command") as caught:
        grub.set_boot_filesystem(f"{line}\n", NEW)
    assert caught.value.code == "update-grub-configs"


def test_kernels_restart_after_a_panic_unless_they_are_told_something_else() -> None:
    config = (
        "menuentry a {\n\tlinux /vmlinuz root=UUID=1 ro  \n\tinitrd /i\n}\n"
        "menuentry b {\n  linuxefi /vmlinuz panic=5 ro\n}\n# linux /old\nset linux=1\n"
    )
    changed = grub.set_panic(config, 30)
    assert "\tlinux /vmlinuz root=UUID=1 ro panic=30\n" in changed
    assert "  linuxefi /vmlinuz panic=5 ro\n" in changed
    assert changed.count("panic=30") == 1
    assert grub.set_panic(changed, 30) == changed


def test_a_config_that_starts_no_kernel_stays_as_it_is() -> None:
    assert grub.set_panic("configfile /boot/grub/grub.cfg\n", 30) == (
        "configfile /boot/grub/grub.cfg\n"
    )


CONFIG = (
    'menuentry "Debian" {\n    linux /vmlinuz root=UUID=1 ro quiet selinux=0  \n    initrd /i\n}\n'
    'menuentry "Debian (recovery mode)" {\n    linux /vmlinuz root=UUID=1 ro single\n}\n'
)


def test_arguments_come_last_and_recovery_entries_stay() -> None:
    change = grub.Change(frozenset({"selinux", "enforcing"}), ("selinux=1", "a.b=c"))
    changed = grub.set_arguments(CONFIG, change)
    assert "    linux /vmlinuz root=UUID=1 ro quiet selinux=1 a.b=c\n" in changed
    assert "    linux /vmlinuz root=UUID=1 ro single\n" in changed


def test_only_whole_names_are_removed() -> None:
    config = "linux /vmlinuz notselinux=1 selinux enforcing=1 selinuxfs=x\n"
    removed = grub.set_arguments(config, grub.Change(frozenset({"selinux", "enforcing"})))
    assert removed == "linux /vmlinuz notselinux=1 selinuxfs=x\n"


def test_no_change_leaves_a_config_byte_for_byte() -> None:
    assert not grub.Change()
    assert grub.set_arguments("menuentry a {\n linux /v ro\n}\n", grub.Change()) == (
        "menuentry a {\n linux /v ro\n}\n"
    )


def test_words_that_mean_something_to_grub_are_quoted() -> None:
    words = grub.split_arguments(['dyndbg="file x.c +p" a=$b;c'])
    assert words == ("dyndbg=file x.c +p", "a=$b;c")
    changed = grub.set_arguments("linux /v", grub.Change(added=words))
    assert changed == "linux /v 'dyndbg=file x.c +p' 'a=$b;c'"


def test_one_entry_may_hold_several_arguments() -> None:
    assert grub.split_arguments(["console=tty0  console=ttyS0", "", "quiet"]) == (
        "console=tty0",
        "console=ttyS0",
        "quiet",
    )


def test_defaults_for_a_later_mkconfig_are_written_once() -> None:
    change = grub.Change(added=("quiet", "a=$b", "c d"))
    once = grub.set_defaults('GRUB_CMDLINE_LINUX_DEFAULT="splash"', change)
    assert once.endswith(
        "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT quiet 'a=\\$b' 'c d'\"\n"
    )
    assert grub.set_defaults(once, change) == once
    assert grub.set_defaults(once, grub.Change()) == 'GRUB_CMDLINE_LINUX_DEFAULT="splash"\n'


def test_a_config_starts_kernels_unless_it_only_leads_elsewhere() -> None:
    assert grub.starts_kernels(CONFIG)
    assert not grub.starts_kernels("search -u AB12-34CD -s\nconfigfile /boot/grub2/grub.cfg\n")
    assert not grub.starts_kernels("linux /vmlinuz single\n")
