"""The Host Status' YAML form."""

import pytest

from agent.api import status
from agent.api.errors import TridentError
from agent.api.load import load
from agent.api.status import AbVolume, HostStatus, ServicingState, ServicingType


def test_a_status_survives_a_round_trip() -> None:
    full = HostStatus(
        spec=load("os: {hostname: a}"),
        spec_old=load("os: {hostname: b}"),
        servicing_state=ServicingState.AB_UPDATE_FINALIZED,
        last_error={"message": "x", "error": {"missing-binary": {"binary": "y"}}},
        ab_active_volume=AbVolume.A,
        install_index=2,
        trident_version="0.1.0",
    )
    assert status.parse(status.dump(full)) == full


def test_the_first_status_names_its_state_and_install_index() -> None:
    assert (
        status.dump(HostStatus()) == "spec: {}\nservicingState: not-provisioned\ninstallIndex: 0\n"
    )


def test_fields_of_a_later_version_are_kept() -> None:
    text = "spec: {}\nservicingState: provisioned\ninstallIndex: 0\nlater:\n- 1\n"
    assert status.dump(status.parse(text)) == text


def test_an_unreadable_status_is_an_initialization_error() -> None:
    with pytest.raises(TridentError) as caught:
        status.parse("servicingState: dancing")
    assert caught.value.identifier == "initialization/parse-host-status"


def test_servicing_types_have_their_names_for_documents_and_scripts() -> None:
    assert ServicingType.CLEAN_INSTALL.label == "clean-install"
    assert ServicingType.MANUAL_ROLLBACK_AB.script_name == "manual_rollback_ab"
    assert ServicingType.NO_ACTIVE_SERVICING.script_name == "none"


OLD = """\
spec:
  osImage: {type: cosi, url: 'http://host/os.cosi'}
  trident: {selfUpgrade: true}
  os: {network: {version: 2}}
  storage:
    filesystems:
    - {deviceId: esp, type: vfat, source: {type: esp-image, sha384: ignored}, mountPoint: /boot/efi}
    verityFilesystems:
    - {name: root, dataDeviceId: a, hashDeviceId: b, mountPoint: {path: /, options: ro}}
servicingState: provisioned
installIndex: 0
"""


def test_a_status_of_an_early_release_is_read_in_todays_form() -> None:
    spec = status.parse(OLD).spec
    assert spec.image is not None
    assert (spec.image.url, spec.image.sha384) == ("http://host/os.cosi", "ignored")
    assert spec.os.netplan is not None
    assert [(fs.device_id, str(fs.mount_path)) for fs in spec.storage.filesystems] == [
        ("esp", "/boot/efi"),
        ("verity0", "/"),
    ]
    assert spec.storage.verity[0].data_device_id == "a"


def test_a_filesystem_that_an_early_release_created_cannot_be_read() -> None:
    with pytest.raises(TridentError, match=r"storage.filesystems\[0\]"):
        status.parse(OLD.replace("type: esp-image", "type: create"))
