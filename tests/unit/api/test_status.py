"""The Host Status' YAML form."""

import pytest

from agent.api import status, yamltext
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


LATER = """\
spec:
  image: {url: 'http://host/os.cosi', sha384: ignored, signature: {key: k, chain: [a, b]}}
  storage:
    disks:
    - id: os
      device: /dev/sda
      partitionTableType: gpt
      partitions:
      - {id: esp, type: esp, size: 64M}
      - {id: root, type: root, size: 1G, discard: true}
      sectorSize: 4096
    filesystems:
    - {deviceId: esp, mountPoint: /boot/efi}
    - deviceId: root
      mountPoint: {path: /, idmap: x}
  health:
    checks:
    - {name: units, systemdServices: [ssh], soakSeconds: 60}
  attestation: {nonce: 1}
specOld:
  os: {locale: de}
servicingState: provisioned
installIndex: 0
futureFact: 7
"""


def test_f58_fields_of_a_later_version_inside_the_configuration_are_kept() -> None:
    read = status.parse(LATER)
    assert read.spec.storage.disks[0].partitions[1].id == "root"
    assert yamltext.parse(status.dump(read)).value == yamltext.parse(LATER).value
    again = read.model_copy(update={"install_index": 1, "spec_old": read.spec})
    plain = yamltext.parse(status.dump(again)).value
    assert isinstance(plain, dict)
    assert plain["specOld"] == plain["spec"]
    assert plain["futureFact"] == 7


def test_f58_what_a_later_version_left_out_is_equal_to_what_this_one_reads() -> None:
    """A configuration is not taken for changed because another part of the status is newer."""
    read = status.parse(LATER.replace("    - {deviceId: esp", "    - {later: 1, deviceId: esp"))
    ours = load("storage: {filesystems: [{deviceId: esp, mountPoint: /boot/efi}]}")
    assert read.spec.scripts == ours.scripts
    assert read.spec.os == ours.os
    assert read.spec.storage.filesystems[0] != ours.storage.filesystems[0]
    assert status.parse(LATER).spec.storage.filesystems[0] == ours.storage.filesystems[0]


def test_a_configuration_that_people_write_may_not_have_unknown_fields() -> None:
    with pytest.raises(TridentError, match="unknown field"):
        load("attestation: {nonce: 1}")


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
