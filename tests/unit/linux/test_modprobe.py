"""Kernel modules as modprobe.d and modules-load.d say them."""

from __future__ import annotations

from pathlib import Path

from agent.linux import modprobe


def test_modules_are_added_to_those_that_are_loaded_and_others_taken_out() -> None:
    text = "# own\nvfio\nbr-netfilter\nloop\n"
    assert modprobe.set_loaded(text, load=["br_netfilter", "bonding"], leave=["loop"]) == (
        "# own\nvfio\nbr_netfilter\nbonding\n"
    )


def test_a_module_is_disabled_once() -> None:
    once = modprobe.set_disabled("blacklist pcspkr\n", disable=["floppy", "pcspkr"], allow=[])
    assert once == "blacklist pcspkr\nblacklist floppy\n"
    assert modprobe.set_disabled(once, disable=["floppy"], allow=[]) == once


def test_a_module_is_allowed_again_however_it_was_disabled() -> None:
    text = (
        "# blacklist snd_hda\nblacklist snd-hda\ninstall snd_hda /bin/false\n"
        "install snd_hda /usr/bin/true\ninstall other /bin/false\ninstall snd_hda /sbin/special\n"
    )
    assert modprobe.set_allowed(text, ["snd_hda"]) == (
        "# blacklist snd_hda\ninstall other /bin/false\ninstall snd_hda /sbin/special\n"
    )


def test_options_replace_those_of_the_same_name_and_keep_the_others() -> None:
    text = (
        'options bonding mode=1 max_bonds=4 primary="eth 0"\nalias a b\noptions loop max_loop=8\n'
    )
    changed = modprobe.set_options(text, {"bonding": {"mode": "4", "fail": "a b"}, "dummy": {}})
    assert changed == (
        'alias a b\noptions bonding mode=4 max_bonds=4 primary="eth 0" fail="a b"\n'
        "options loop max_loop=8\n"
    )
    assert modprobe.set_options(changed, {}) == changed


def test_a_vendors_file_that_disables_a_module_is_overridden_by_one_in_etc(tmp_path: Path) -> None:
    vendor, own = tmp_path / "usr/lib/modprobe.d", tmp_path / "etc/modprobe.d"
    vendor.mkdir(parents=True)
    own.mkdir(parents=True)
    (vendor / "fat.conf").write_text("blacklist vfat\nblacklist msdos\n")
    (vendor / "masked.conf").write_text("blacklist vfat\n")
    (own / "masked.conf").write_text("# nothing\n")
    (own / "site.conf").write_text("options vfat x=1\ninstall vfat /bin/false\n")
    assert modprobe.overriding(tmp_path, ["vfat"], {}) == {
        Path("etc/modprobe.d/fat.conf"): "blacklist msdos\n",
        Path("etc/modprobe.d/site.conf"): "options vfat x=1\n",
    }
    assert modprobe.overriding(tmp_path, ["xfs"], {}) == {}


def test_a_vendors_option_that_would_win_is_overridden(tmp_path: Path) -> None:
    vendor = tmp_path / "usr/lib/modprobe.d"
    vendor.mkdir(parents=True)
    text = "# systemd's\noptions bonding max_bonds=0\noptions dummy numdummies=0\n"
    (vendor / "systemd.conf").write_text(text)
    assert modprobe.overriding(tmp_path, [], {"dummy": ["numdummies"]}) == {
        Path("etc/modprobe.d/systemd.conf"): "# systemd's\noptions bonding max_bonds=0\n"
    }
    assert modprobe.overriding(tmp_path, [], {"bonding": ["mode"]}) == {}


def test_only_the_parameters_that_are_given_are_taken_out() -> None:
    text = 'options a-b x=1 y="2 3" z\noptions c x=1\n'
    assert modprobe.without_options(text, {"a_b": ["x", "z"]}) == (
        'options a-b y="2 3"\noptions c x=1\n'
    )
