"""SELinux: what is refused before anything is touched, and the mode in the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from agent.api.osconfig import SelinuxMode
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.execute import execute
from agent.reporting.recorder import Recorder
from agent.subsystems import selinux
from agent.subsystems.selinux import Selinux
from tests.kit.opened_image import image_of
from tests.unit.subsystems.boot.test_arguments import UKI, write
from tests.unit.subsystems.storage.samples import CONFIGURATION, configuration, metadata

HASH = "a" * 96
POLICY = [{"name": "selinux-policy-default", "version": "2", "release": "1", "arch": "all"}]


def validate(mode: str, more: str = "", **described: Any) -> None:
    text = f"{CONFIGURATION}os: {{selinux: {{mode: {mode}}}{more}}}\n"
    with image_of(metadata(**described)) as image:
        Selinux().validate(Context(configuration(text), ServicingType.CLEAN_INSTALL, image=image))


def test_an_image_without_a_policy_is_refused_as_far_as_its_packages_tell() -> None:
    bash = [{"name": "bash", "version": "5", "release": "1", "arch": "amd64"}]
    with pytest.raises(TridentError, match="hold no SELinux policy") as caught:
        validate("permissive", osPackages=bash)
    assert caught.value.identifier == "invalid-input/selinux-enabled-but-not-found"
    validate("permissive", osPackages=[*bash, *POLICY])
    validate("permissive", osPackages=[])
    validate("disabled", osPackages=bash)


def test_an_operator_who_knows_better_can_go_on() -> None:
    relaxed = "}\ninternalParams: {relaxedCosiValidation: true"
    bash = [{"name": "bash", "version": "5", "release": "1", "arch": "amd64"}]
    validate("enforcing", relaxed, osPackages=bash)


def test_enforcing_is_refused_with_extension_images() -> None:
    sysexts = f", sysexts: [{{url: 'file:///a.raw', sha384: '{HASH}'}}]"
    with pytest.raises(TridentError) as caught:
        validate("enforcing", sysexts, osPackages=POLICY)
    assert caught.value.fields["inner"] == "extension-images-and-selinux-unsupported"
    validate("permissive", sysexts, osPackages=POLICY)


def test_enforcing_is_refused_with_a_root_that_verity_protects_but_for_ukis() -> None:
    text = """
storage:
  verity: [{id: v, name: root, dataDeviceId: a, hashDeviceId: b}]
  filesystems: [{deviceId: v, mountPoint: {path: /, options: ro}}]
os: {selinux: {mode: enforcing}}
"""
    for bootloader in ({"type": "grub"}, UKI):
        with image_of(metadata(osPackages=POLICY, bootloader=bootloader)) as image:
            context = Context(configuration(text), ServicingType.CLEAN_INSTALL, image=image)
            if bootloader is UKI:
                Selinux().validate(context)
                continue
            with pytest.raises(TridentError) as caught:
                Selinux().validate(context)
            assert caught.value.fields["inner"] == "root-verity-and-selinux-unsupported"


@pytest.mark.parametrize(
    ("arguments", "mode", "agrees"),
    [
        ("ro security=selinux selinux=1", SelinuxMode.ENFORCING, True),
        ("ro enforcing=1", SelinuxMode.ENFORCING, True),
        ("ro enforcing=1", SelinuxMode.PERMISSIVE, False),
        ("ro enforcing=0", SelinuxMode.ENFORCING, False),
        ("ro selinux=0", SelinuxMode.PERMISSIVE, False),
    ],
)
def test_the_arguments_of_a_uki_must_not_overrule_the_mode(
    arguments: str, mode: SelinuxMode, agrees: bool
) -> None:
    if agrees:
        selinux.require_agreeing(arguments, mode)
        return
    with pytest.raises(TridentError) as caught:
        selinux.require_agreeing(arguments, mode)
    assert caught.value.code == "kernel-command-line-fixed"


def configure(root: Path, mode: str | None) -> list[str]:
    text = CONFIGURATION + (f"os: {{selinux: {{mode: {mode}}}}}\n" if mode else "")
    with image_of(metadata()) as image:
        context = Context(
            configuration(text), ServicingType.CLEAN_INSTALL, image=image, newroot=root
        )
        steps = Selinux().stage(context)
        execute(steps, context, Recorder("install", []))
    return [step.name for step in steps]


def test_a_target_without_selinux_is_not_labelled(tmp_path: Path) -> None:
    assert configure(tmp_path, None) == ["selinux/labels"]
    write(tmp_path, "etc/selinux/config", "SELINUX=disabled\n")
    configure(tmp_path, None)


def test_switching_selinux_off_needs_no_policy(tmp_path: Path) -> None:
    assert configure(tmp_path, "disabled") == ["selinux/mode"]
    config = write(tmp_path, "etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=mls\n")
    configure(tmp_path, "disabled")
    assert config.read_text() == "SELINUX=disabled\nSELINUXTYPE=mls\n"


def test_an_image_that_has_no_policy_after_all_is_an_error_and_keeps_its_mode(
    tmp_path: Path,
) -> None:
    with pytest.raises(TridentError, match="no /etc/selinux/config"):
        configure(tmp_path, "enforcing")
    config = write(tmp_path, "etc/selinux/config", "SELINUX=permissive\nSELINUXTYPE=default\n")
    with pytest.raises(TridentError, match="no /etc/selinux/default/contexts"):
        configure(tmp_path, "enforcing")
    write(tmp_path, "etc/selinux/default/contexts/files/file_contexts", "/.* system_u:x:y:s0\n")
    with pytest.raises(TridentError, match="no setfiles") as caught:
        configure(tmp_path, "enforcing")
    assert caught.value.code == "selinux-enabled-but-not-found"
    assert config.read_text().startswith("SELINUX=permissive\n")


def test_an_enforcing_image_whose_configuration_says_nothing_is_labelled_too(
    tmp_path: Path,
) -> None:
    write(tmp_path, "etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=mls\n")
    with pytest.raises(TridentError, match="no /etc/selinux/mls/contexts"):
        configure(tmp_path, None)
