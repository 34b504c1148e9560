"""Any Host Configuration that can be built is dumped and read back as itself."""

from pathlib import PurePosixPath

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.api.dump import dump
from agent.api.hostconfig import (
    Health,
    HostConfiguration,
    Image,
    InternalParams,
    Script,
    Scripts,
    ServicingTypeSelection,
    SystemdCheck,
    Trident,
)
from agent.api.load import load
from agent.api.osconfig import AdditionalFile, Netplan, Os, Selinux, SelinuxMode, SshMode, User
from agent.api.parttypes import PartitionKind
from agent.api.pcr import Pcr
from agent.api.storage import (
    Disk,
    EncryptedVolume,
    Encryption,
    FileSystem,
    FileSystemSource,
    FileSystemType,
    MountPoint,
    OverrideEspMount,
    Partition,
    PartitionTableType,
    Storage,
    Swap,
)
from agent.api.units import GROW, ByteCount

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
PATHS = st.sampled_from(["/", "/boot/efi", "/var/lib/x y", "relative", "/é"]).map(PurePosixPath)


def few(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


PARTITIONS = st.builds(
    Partition,
    id=TEXT,
    type=st.sampled_from(PartitionKind) | st.uuids(),
    size=st.just(GROW) | st.integers(0, (1 << 64) - 1).map(ByteCount),
    uuid=st.none() | st.uuids(),
    label=st.none() | TEXT,
)
DISKS = st.builds(
    Disk,
    id=TEXT,
    device=PATHS,
    partition_table_type=st.just(PartitionTableType.GPT),
    partitions=few(PARTITIONS),
    adopted_partitions=st.just(()),
)
MOUNTS = st.builds(MountPoint, path=PATHS, options=st.just("defaults") | TEXT)
FILESYSTEMS = st.one_of(
    st.builds(
        FileSystem,
        device_id=st.none() | TEXT,
        source=st.just(FileSystemSource.IMAGE),
        type=st.none(),
        mount_point=MOUNTS,
        override_esp_mount=st.sampled_from(OverrideEspMount),
    ),
    st.builds(
        FileSystem,
        device_id=TEXT,
        source=st.just(FileSystemSource.NEW),
        type=st.none() | st.sampled_from([FileSystemType.XFS, FileSystemType.TMPFS]),
        mount_point=st.none() | MOUNTS,
        override_esp_mount=st.just(OverrideEspMount.USE_DEFAULT),
    ),
)
ENCRYPTION = st.builds(
    Encryption,
    recovery_key_url=st.none() | st.just("file:///key"),
    volumes=few(st.builds(EncryptedVolume, id=TEXT, device_name=TEXT, device_id=TEXT)),
    pcrs=few(st.integers(0, 23).map(Pcr)),
    clear_tpm_on_install=st.none() | st.booleans(),
)
STORAGE = st.builds(
    Storage,
    disks=few(DISKS),
    encryption=st.none() | ENCRYPTION,
    filesystems=few(FILESYSTEMS),
    swap=few(st.builds(Swap, device_id=TEXT)),
    raid=st.just(Storage().raid),
    ab_update=st.none(),
    verity=st.just(()),
)
SELECTIONS = few(st.sampled_from(ServicingTypeSelection))
SCRIPTS = st.builds(
    Script,
    name=TEXT,
    run_on=SELECTIONS,
    interpreter=st.none() | PATHS,
    content=TEXT,
    path=st.none(),
    arguments=few(TEXT),
    environment_variables=st.dictionaries(TEXT.filter(lambda k: k != "<<"), TEXT, max_size=2),
)
CHECKS = SCRIPTS | st.builds(
    SystemdCheck,
    name=TEXT,
    systemd_services=few(TEXT),
    timeout_seconds=st.integers(0, 1000),
    run_on=SELECTIONS,
)
OS = st.builds(
    Os,
    netplan=st.none() | st.just(Netplan(version=2, ethernets={"a": {"dhcp4": True}})),
    selinux=st.builds(Selinux, mode=st.none() | st.sampled_from(SelinuxMode)),
    users=few(st.builds(User, name=TEXT, ssh_mode=st.sampled_from(SshMode))),
    additional_files=few(st.builds(AdditionalFile, destination=PATHS, content=TEXT)),
    hostname=st.none() | TEXT,
)
CONFIGURATIONS = st.builds(
    HostConfiguration,
    trident=st.builds(Trident, disable=st.booleans(), phonehome=st.none() | TEXT),
    storage=STORAGE,
    scripts=st.builds(
        Scripts, pre_servicing=few(SCRIPTS), post_provision=st.just(()), post_configure=st.just(())
    ),
    os=OS,
    image=st.none() | st.just(Image(url="https://host/x", sha384="ignored")),
    health=st.builds(Health, checks=few(CHECKS)),
    internal_params=st.builds(
        InternalParams, st.dictionaries(TEXT.filter(lambda k: k != "<<"), st.booleans() | TEXT)
    ),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(CONFIGURATIONS)
def test_a_configuration_survives_being_dumped_and_loaded(configuration: HostConfiguration) -> None:
    assert load(dump(configuration)) == configuration
