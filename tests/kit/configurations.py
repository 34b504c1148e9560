"""Hypothesis strategies: Host Configurations that have the right shape, sensible or not."""

from pathlib import PurePosixPath

from hypothesis import strategies as st

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
from agent.api.osconfig import (
    AdditionalFile,
    Extension,
    HashedPassword,
    KernelCommandLine,
    LoadMode,
    LockedPassword,
    ManagementOs,
    Module,
    Netplan,
    NetplanRenderer,
    Os,
    PlainTextPassword,
    Selinux,
    SelinuxMode,
    Services,
    SshMode,
    UefiFallbackMode,
    User,
)
from agent.api.parttypes import PartitionKind
from agent.api.pcr import Pcr
from agent.api.storage import (
    AbUpdate,
    AbVolumePair,
    AdoptedPartition,
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
    Raid,
    RaidLevel,
    SoftwareRaidArray,
    Storage,
    Swap,
    VerityCorruptionOption,
    VerityDevice,
)
from agent.api.units import GROW, ByteCount

IDS = st.sampled_from("abcdefg")
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
KEYS = TEXT.filter(lambda key: key != "<<")
PATHS = st.sampled_from(["/", "/boot/efi", "/var/lib/x y", "relative", "/é"]).map(PurePosixPath)


def few(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


PARTITIONS = st.builds(
    Partition,
    id=IDS | TEXT,
    type=st.sampled_from(PartitionKind) | st.uuids(),
    size=st.just(GROW) | st.integers(0, (1 << 64) - 1).map(ByteCount),
    uuid=st.none() | st.uuids(),
    label=st.none() | TEXT,
)
ADOPTED = st.builds(
    AdoptedPartition, id=IDS, match_label=st.none() | TEXT, match_uuid=st.none() | st.uuids()
)
DISKS = st.builds(
    Disk,
    id=TEXT,
    device=PATHS,
    partition_table_type=st.just(PartitionTableType.GPT),
    partitions=few(PARTITIONS),
    adopted_partitions=few(ADOPTED),
)
MOUNTS = st.builds(MountPoint, path=PATHS, options=st.just("defaults") | TEXT)
FILESYSTEMS = st.one_of(
    st.builds(
        FileSystem,
        device_id=st.none() | IDS,
        source=st.just(FileSystemSource.IMAGE),
        type=st.none(),
        mount_point=MOUNTS,
        override_esp_mount=st.sampled_from(OverrideEspMount),
    ),
    st.builds(
        FileSystem,
        device_id=IDS,
        source=st.just(FileSystemSource.NEW),
        type=st.none() | st.sampled_from([FileSystemType.XFS, FileSystemType.TMPFS]),
        mount_point=st.none() | MOUNTS,
        override_esp_mount=st.just(OverrideEspMount.USE_DEFAULT),
    ),
)
ENCRYPTION = st.builds(
    Encryption,
    recovery_key_url=st.none() | st.just("file:///key"),
    volumes=few(st.builds(EncryptedVolume, id=IDS, device_name=TEXT, device_id=IDS)),
    pcrs=few(st.integers(0, 23).map(Pcr)),
    clear_tpm_on_install=st.none() | st.booleans(),
)
ARRAYS = st.builds(
    SoftwareRaidArray, id=IDS, name=IDS, level=st.sampled_from(RaidLevel), devices=few(IDS)
)
PAIRS = st.builds(AbVolumePair, id=IDS, volume_a_id=IDS, volume_b_id=IDS)
VERITY = st.builds(
    VerityDevice,
    id=IDS,
    name=IDS,
    data_device_id=IDS,
    hash_device_id=IDS,
    corruption_option=st.sampled_from(VerityCorruptionOption),
)
STORAGE = st.builds(
    Storage,
    disks=few(DISKS),
    encryption=st.none() | ENCRYPTION,
    filesystems=few(FILESYSTEMS),
    swap=few(st.builds(Swap, device_id=IDS)),
    raid=st.builds(Raid, software=few(ARRAYS), sync_timeout=st.none() | st.integers(0, 9)),
    ab_update=st.none() | st.builds(AbUpdate, volume_pairs=few(PAIRS)),
    verity=few(VERITY),
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
    environment_variables=st.dictionaries(KEYS, TEXT, max_size=2),
)
CHECKS = SCRIPTS | st.builds(
    SystemdCheck,
    name=TEXT,
    systemd_services=few(TEXT),
    timeout_seconds=st.integers(0, 1000),
    run_on=SELECTIONS,
)
NETPLANS = st.none() | st.builds(
    Netplan,
    version=st.integers(1, 3),
    renderer=st.none() | st.sampled_from(NetplanRenderer),
    ethernets=st.none() | st.dictionaries(KEYS, st.just({"dhcp4": True}), max_size=2),
)
PASSWORDS = (
    st.builds(LockedPassword)
    | st.builds(PlainTextPassword, type=st.just("dangerous-plain-text"), value=TEXT)
    | st.builds(HashedPassword, type=st.just("dangerous-hashed"), value=TEXT)
)
USERS = st.builds(
    User,
    name=TEXT,
    password=PASSWORDS,
    uid=st.none() | st.integers(0, 70_000),
    primary_group=st.none() | TEXT,
    secondary_groups=few(TEXT),
    ssh_public_keys=few(TEXT),
    ssh_mode=st.sampled_from(SshMode),
    startup_command=st.none() | TEXT,
)
FILES = st.builds(
    AdditionalFile,
    destination=PATHS,
    content=st.none() | TEXT,
    source=st.none() | PATHS,
    permissions=st.none() | st.sampled_from(["0644", "644", "0999"]),
)
EXTENSIONS = st.builds(
    Extension,
    url=st.just("https://host/x.raw"),
    sha384=st.sampled_from("ab").map(lambda digit: digit * 96),
    path=st.none() | st.sampled_from(["/etc/extensions/x.raw", "x"]).map(PurePosixPath),
)
OS = st.builds(
    Os,
    netplan=NETPLANS,
    selinux=st.builds(Selinux, mode=st.none() | st.sampled_from(SelinuxMode)),
    users=few(USERS),
    additional_files=few(FILES),
    hostname=st.none() | TEXT,
    modules=few(
        st.builds(
            Module,
            name=TEXT,
            load_mode=st.sampled_from(LoadMode),
            options=st.dictionaries(KEYS, TEXT, max_size=2),
        )
    ),
    services=st.builds(Services, enable=few(TEXT), disable=few(TEXT)),
    kernel_command_line=st.builds(KernelCommandLine, extraCommandLine=few(TEXT)),
    sysexts=few(EXTENSIONS),
    confexts=few(EXTENSIONS),
    uefi_fallback=st.sampled_from(UefiFallbackMode),
)
CONFIGURATIONS = st.builds(
    HostConfiguration,
    trident=st.builds(Trident, disable=st.booleans(), phonehome=st.none() | TEXT),
    storage=STORAGE,
    scripts=st.builds(
        Scripts, pre_servicing=few(SCRIPTS), post_provision=st.just(()), post_configure=st.just(())
    ),
    os=OS,
    management_os=st.builds(ManagementOs, netplan=NETPLANS, users=few(USERS)),
    image=st.none() | st.just(Image(url="https://host/x", sha384="ignored")),
    health=st.builds(Health, checks=few(CHECKS)),
    internal_params=st.builds(
        InternalParams, st.dictionaries(KEYS, st.booleans() | TEXT, max_size=3)
    ),
)
