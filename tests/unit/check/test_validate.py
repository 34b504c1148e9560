"""Every static rule: a document that breaks just it, and where the finding points."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.api import load, yamltext
from agent.check.findings import Finding, errors
from agent.check.validate import validate

SAMPLES = Path(__file__).parents[2] / "data" / "conformance" / "host-configuration" / "valid"
Doc = dict[str, Any]
Edit = Callable[[Doc], object]


def partition(name: str, kind: str = "linux-generic", size: str = "1G") -> Doc:
    return {"id": name, "type": kind, "size": size}


BASE: Doc = {
    "storage": {
        "disks": [
            {
                "id": "os",
                "device": "/dev/sda",
                "partitionTableType": "gpt",
                "partitions": [
                    partition("esp", "esp"),
                    partition("root-a", "root"),
                    partition("root-b", "root"),
                    partition("state"),
                    partition("swap", "swap"),
                    partition("spare-1"),
                    partition("spare-2"),
                    partition("hash", "root-verity"),
                ],
            }
        ],
        "abUpdate": {"volumePairs": [{"id": "root", "volumeAId": "root-a", "volumeBId": "root-b"}]},
        "filesystems": [
            {"deviceId": "esp", "mountPoint": "/boot/efi"},
            {"deviceId": "root", "mountPoint": "/"},
            {"deviceId": "state", "source": "new", "mountPoint": "/var/lib/trident"},
        ],
        "swap": ["swap"],
    },
    "image": {"url": "https://host/os.cosi", "sha384": "ignored"},
}


def parts(doc: Doc) -> list[Doc]:
    found: list[Doc] = doc["storage"]["disks"][0]["partitions"]
    return found


def filesystems(doc: Doc) -> list[Doc]:
    found: list[Doc] = doc["storage"]["filesystems"]
    return found


def raid(doc: Doc, level: str = "raid1", members: tuple[str, ...] = ("spare-1", "spare-2")) -> None:
    array = {"id": "md", "name": "md", "level": level, "devices": list(members)}
    doc["storage"]["raid"] = {"software": [array]}


def luks(doc: Doc, device: str = "spare-1", **more: object) -> None:
    volume = {"id": "luks", "deviceName": "luks", "deviceId": device}
    doc["storage"]["encryption"] = {"volumes": [volume], "pcrs": [7]} | more


def verity(doc: Doc, data: str = "root", hashes: str = "hash", name: str = "root") -> None:
    """Protect / by verity, with everything that needs."""
    doc["storage"]["verity"] = [
        {"id": "v", "name": name, "dataDeviceId": data, "hashDeviceId": hashes}
    ]
    filesystems(doc)[1] = {"deviceId": "v", "mountPoint": {"path": "/", "options": "ro"}}
    doc["storage"]["abUpdate"]["volumePairs"] += [
        {"id": "hash", "volumeAId": "hash-a", "volumeBId": "hash-b"},
        {"id": "var", "volumeAId": "spare-1", "volumeBId": "spare-2"},
    ]
    parts(doc).pop()
    parts(doc).extend(
        [
            partition("hash-a", "root-verity"),
            partition("hash-b", "root-verity"),
            partition("boot", "xbootldr"),
        ]
    )
    filesystems(doc).extend(
        [
            {"deviceId": "boot", "mountPoint": "/boot"},
            {"deviceId": "var", "mountPoint": "/var"},
        ]
    )


def findings(edit: Edit) -> list[Finding]:
    doc = copy.deepcopy(BASE)
    edit(doc)
    loaded = load.load_document(yamltext.dump(doc))
    return validate(loaded.configuration, loaded.positions)


def both(*edits: Edit) -> Edit:
    def apply(doc: Doc) -> None:
        for edit in edits:
            edit(doc)

    return apply


def raid_esp(doc: Doc) -> None:
    parts(doc)[0:1] = [partition("esp-1", "esp"), partition("esp-2", "esp")]
    raid(doc, "raid0", ("esp-1", "esp-2"))
    filesystems(doc)[0]["deviceId"] = "md"


def extension(**more: object) -> Doc:
    return {"url": "https://host/x.raw", "sha384": "a" * 96} | more


def set_os(**section: object) -> Edit:
    return lambda doc: doc.update(os=section)


def netplan(**body: object) -> Edit:
    return set_os(netplan={"version": 2} | body)


DISK = "storage.disks[0]"
PAIR = "storage.abUpdate.volumePairs[0]"
FILE = "os.additionalFiles[0]"

GRAPH: list[tuple[str, str, Edit]] = [
    ("duplicate-device-id", f"{DISK}.partitions[4].id", lambda d: parts(d)[4].update(id="state")),
    ("basic-check-failed", f"{DISK}.device", lambda d: d["storage"]["disks"][0].update(device="a")),
    ("basic-check-failed", f"{DISK}.partitions[3].size", lambda d: parts(d)[3].update(size=4097)),
    ("basic-check-failed", f"{DISK}.partitions[3].size", lambda d: parts(d)[3].update(size=0)),
    (
        "basic-check-failed",
        f"{DISK}.adoptedPartitions[0]",
        lambda d: d["storage"]["disks"][0].update(adoptedPartitions=[{"id": "old"}]),
    ),
    (
        "unique-field-constraint-error",
        "storage.disks[1].device",
        lambda d: d["storage"]["disks"].append(
            d["storage"]["disks"][0] | {"id": "2", "partitions": []}
        ),
    ),
    (
        "unique-field-constraint-error",
        f"{DISK}.adoptedPartitions[1].matchLabel",
        lambda d: d["storage"]["disks"][0].update(
            adoptedPartitions=[{"id": "o1", "matchLabel": "x"}, {"id": "o2", "matchLabel": "x"}]
        ),
    ),
    (
        "filesystem-missing-block-device-id",
        "storage.filesystems[2]",
        lambda d: filesystems(d)[2].pop("deviceId"),
    ),
    (
        "filesystem-unexpected-block-device-id",
        "storage.filesystems[3].deviceId",
        lambda d: filesystems(d).append(
            {"source": "new", "type": "tmpfs", "mountPoint": "/t", "deviceId": "spare-1"}
        ),
    ),
    (
        "filesystem-missing-mount-point",
        "storage.filesystems[3]",
        lambda d: filesystems(d).append({"source": "new", "type": "tmpfs"}),
    ),
    (
        "mount-point-path-not-absolute",
        "storage.filesystems[3].mountPoint",
        lambda d: filesystems(d).append(
            {"deviceId": "spare-1", "source": "new", "mountPoint": "t"}
        ),
    ),
    (
        "duplicate-mount-point",
        "storage.filesystems[3].mountPoint",
        lambda d: filesystems(d).append(
            {"deviceId": "spare-1", "mountPoint": "/var//lib/trident/"}
        ),
    ),
    (
        "filesystem-esp-without-mount-point",
        "storage.filesystems[3].overrideEspMount",
        lambda d: filesystems(d).append({"deviceId": "spare-1", "overrideEspMount": "override"}),
    ),
    (
        "filesystem-esp-multiple",
        "storage.filesystems[3]",
        lambda d: filesystems(d).append(
            {"deviceId": "spare-1", "mountPoint": "/efi", "overrideEspMount": "override"}
        ),
    ),
    (
        "duplicate-target-id",
        "storage.raid.software[0].devices[1]",
        lambda d: raid(d, members=("spare-1", "spare-1")),
    ),
    ("invalid-target-count", "storage.raid.software[0]", lambda d: raid(d, members=("spare-1",))),
    (
        "non-existent-reference",
        "storage.filesystems[2].deviceId",
        lambda d: filesystems(d)[2].update(deviceId="no"),
    ),
    ("invalid-reference-kind", "storage.swap[0]", lambda d: d["storage"].update(swap=["root"])),
    (
        "referrer-forbidden-sharing",
        "storage.filesystems[3]",
        lambda d: filesystems(d).append({"deviceId": "state", "source": "new", "mountPoint": "/x"}),
    ),
    (
        "reference-kind-mismatch",
        PAIR,
        both(raid, lambda d: d["storage"]["abUpdate"]["volumePairs"][0].update(volumeBId="md")),
    ),
    (
        "partition-size-not-fixed",
        f"{DISK}.partitions[2].size",
        lambda d: parts(d)[2].update(size="grow"),
    ),
    ("partition-size-mismatch", PAIR, lambda d: parts(d)[2].update(size="2G")),
    ("partition-type-mismatch", PAIR, lambda d: parts(d)[2].update(type="usr")),
    (
        "invalid-partition-type",
        f"{DISK}.partitions[4].type",
        lambda d: parts(d)[4].update(type="var"),
    ),
    (
        "invalid-partition-type",
        f"{DISK}.partitions[0].type",
        lambda d: parts(d)[0].update(type="var"),
    ),
    (
        "invalid-partition-type",
        f"{DISK}.partitions[5].type",
        both(luks, lambda d: parts(d)[5].update(type="home")),
    ),
    (
        "invalid-partition-type-special",
        f"{DISK}.partitions[1].type",
        both(verity, lambda d: [parts(d)[i].update(type="srv") for i in (1, 2)]),
    ),
    (
        "invalid-verity-hash-partition-type",
        "storage.verity[0].hashDeviceId",
        both(verity, lambda d: [parts(d)[i].update(type="usr-verity") for i in (7, 8)]),
    ),
    ("invalid-raidlevel", "storage.raid.software[0].level", raid_esp),
]

STORAGE: list[tuple[str, str, Edit]] = [
    (
        "invalid-encryption-recovery-key-url-scheme",
        "storage.encryption.recoveryKeyUrl",
        lambda d: luks(d, recoveryKeyUrl="https://host/key"),
    ),
    ("unsupported-encryption-pcrs", "storage.encryption.pcrs", lambda d: luks(d, pcrs=[7, 0])),
    (
        "esp-mount-point-not-found",
        "storage.filesystems",
        lambda d: filesystems(d)[0].update(overrideEspMount="block"),
    ),
    (
        "mount-point-not-backed-by-image",
        "storage.filesystems[1].source",
        lambda d: filesystems(d)[1].update(source="new"),
    ),
    ("expected-mount-point-not-found", "storage.filesystems", lambda d: filesystems(d).pop(1)),
    (
        "var-tmp-on-read-only-volume",
        "storage.filesystems[1].mountPoint",
        lambda d: filesystems(d)[1].update(mountPoint={"path": "/", "options": "noatime,ro"}),
    ),
    (
        "unsupported-verity-devices",
        "storage.verity[1]",
        both(
            verity,
            lambda d: d["storage"]["verity"].append(
                {"id": "v2", "name": "usr", "dataDeviceId": "usr", "hashDeviceId": "usr-hash"}
            ),
            lambda d: parts(d).extend(
                [partition("usr", "usr"), partition("usr-hash", "usr-verity")]
            ),
        ),
    ),
    (
        "unsupported-verity-devices",
        "storage.verity[0]",
        both(
            verity,
            lambda d: filesystems(d)[1].update(deviceId="spare-9"),
            lambda d: parts(d).append(partition("spare-9", "root")),
        ),
    ),
    (
        "unsupported-verity-devices",
        "storage.filesystems[1].mountPoint",
        both(
            verity,
            lambda d: filesystems(d)[1]["mountPoint"].update(path="/opt"),
            lambda d: filesystems(d).append({"deviceId": "spare-9", "mountPoint": "/"}),
            lambda d: parts(d).append(partition("spare-9", "root")),
        ),
    ),
    (
        "verity-filesystem-without-mount-point",
        "storage.filesystems[1]",
        both(
            verity,
            lambda d: filesystems(d)[1].pop("mountPoint"),
            lambda d: filesystems(d).append({"deviceId": "spare-9", "mountPoint": "/"}),
            lambda d: parts(d).append(partition("spare-9", "root")),
        ),
    ),
    (
        "verity-device-mounted-read-write",
        "storage.filesystems[1].mountPoint",
        both(verity, lambda d: filesystems(d)[1].update(mountPoint="/")),
    ),
    ("verity-device-name-invalid", "storage.verity[0].name", lambda d: verity(d, name="rootfs")),
    (
        "expected-mount-point-not-found",
        "storage.filesystems",
        both(verity, lambda d: filesystems(d)[3].update(mountPoint="/srv")),
    ),
    (
        "mount-point-not-backed-by-block-device",
        "storage.filesystems[5]",
        both(
            verity,
            lambda d: filesystems(d).append(
                {"source": "new", "type": "tmpfs", "mountPoint": "/var/lib/trident-overlay"}
            ),
        ),
    ),
    (
        "mount-point-not-backed-by-ab-update-volume-pair",
        "storage.filesystems[5].deviceId",
        both(
            verity,
            lambda d: parts(d).append(partition("overlay")),
            lambda d: filesystems(d).append(
                {"deviceId": "overlay", "source": "new", "mountPoint": "/var/lib/trident-overlay"}
            ),
        ),
    ),
    (
        "overlay-on-read-only-volume",
        "storage.filesystems[4].mountPoint",
        both(
            verity,
            lambda d: filesystems(d)[4].update(mountPoint={"path": "/var/lib", "options": "ro"}),
            lambda d: filesystems(d).append(
                {"source": "new", "type": "tmpfs", "mountPoint": "/var/tmp"}
            ),
        ),
    ),
]

REST: list[tuple[str, str, Edit]] = [
    ("duplicate-usernames", "os.users[1].name", set_os(users=[{"name": "a"}, {"name": "a"}])),
    (
        "duplicate-usernames",
        "managementOs.users[1].name",
        lambda d: d.update(managementOs={"users": [{"name": "a"}, {"name": "a"}]}),
    ),
    *(
        (
            "additional-file-invalid-permissions",
            f"{FILE}.permissions",
            set_os(additionalFiles=[{"destination": "/x", "content": "", "permissions": mode}]),
        )
        for mode in ("755", "0888", "01777", "", "0o755")
    ),
    (
        "additional-file-both-content-and-source",
        FILE,
        set_os(additionalFiles=[{"destination": "/x", "content": "", "source": "/y"}]),
    ),
    ("additional-file-no-content-or-source", FILE, set_os(additionalFiles=[{"destination": "/x"}])),
    ("invalid-netplan-version", "os.netplan.version", netplan(version=1)),
    ("unsupported-netplan-renderer", "os.netplan.renderer", netplan(renderer="NetworkManager")),
    ("invalid-interface-name", "os.netplan.ethernets.eth*", netplan(ethernets={"eth*": {}})),
    (
        "invalid-interface-name",
        "os.netplan.dummy-devices.a b",
        netplan(**{"dummy-devices": {"a b": {}}}),
    ),
    (
        "invalid-netplan-version",
        "managementOs.netplan.version",
        lambda d: d.update(managementOs={"netplan": {"version": 3}}),
    ),
    (
        "duplicate-extension-image",
        "os.sysexts[1].sha384",
        set_os(sysexts=[extension(), extension()]),
    ),
    (
        "duplicate-extension-image-path",
        "os.confexts[1].path",
        set_os(
            confexts=[
                extension(path="/var/lib/confexts/a.raw"),
                extension(path="/var/lib/confexts/a.raw", sha384="b" * 96),
            ]
        ),
    ),
    (
        "extension-image-invalid-directory",
        "os.sysexts[0].path",
        set_os(sysexts=[extension(path="/run/extensions/a.raw")]),
    ),
    (
        "extension-image-invalid-file-extension",
        "os.sysexts[0].path",
        set_os(sysexts=[extension(path="/var/lib/extensions/a.img")]),
    ),
    (
        "extension-image-not-on-ab-volume",
        "os.sysexts[0]",
        both(
            set_os(sysexts=[extension()]),
            lambda d: filesystems(d)[2].update(mountPoint="/var/lib"),
        ),
    ),
    (
        "path-not-absolute",
        "scripts.postConfigure[0].path",
        lambda d: d.update(scripts={"postConfigure": [{"path": "x.sh"}]}),
    ),
    (
        "datastore-path-invalid-extension",
        "trident.datastorePath",
        lambda d: d.update(trident={"datastorePath": "/var/lib/trident/datastore"}),
    ),
    (
        "self-upgrade-on-read-only-root-verity-fs",
        "internalParams.selfUpgradeTrident",
        both(verity, lambda d: d.update(internalParams={"selfUpgradeTrident": True})),
    ),
    (
        "datastore-path-not-in-known-volume",
        "trident.datastorePath",
        both(
            lambda d: filesystems(d).append({"source": "new", "type": "tmpfs", "mountPoint": "/t"}),
            lambda d: d.update(trident={"datastorePath": "/t/datastore.sqlite"}),
        ),
    ),
    (
        "datastore-path-in-ab-update-volume",
        "trident.datastorePath",
        lambda d: d.update(trident={"datastorePath": "/srv/datastore.sqlite"}),
    ),
]


EXTRA: list[tuple[str, str, Edit]] = [
    (
        "partition-label-too-long",
        f"{DISK}.partitions[5].label",
        lambda d: parts(d)[5].update(label="x" * 37),
    ),
    (
        "partition-label-too-long",
        f"{DISK}.partitions[5].id",
        lambda d: parts(d)[5].update(id="\U0001f600" * 19),
    ),
    (
        "invalid-partition-label",
        f"{DISK}.partitions[5].label",
        lambda d: parts(d)[5].update(label="a\nb"),
    ),
    (
        "invalid-mount-options",
        "storage.filesystems[2].mountPoint.options",
        lambda d: filesystems(d)[2].update(
            mountPoint={"path": "/var/lib/trident", "options": "a b"}
        ),
    ),
    *(
        ("invalid-hostname", "os.hostname", set_os(hostname=name))
        for name in ("", "a b", "-a", "a\n", "a" * 65)
    ),
    *(
        ("invalid-user-name", "os.users[0].name", set_os(users=[{"name": name}]))
        for name in ("", "a:b", "-a", "a/b", "a\n", "a" * 33)
    ),
    (
        "path-not-absolute",
        f"{FILE}.destination",
        set_os(additionalFiles=[{"destination": "x", "content": ""}]),
    ),
]


def test_names_of_the_greatest_length_are_accepted() -> None:
    def edit(doc: Doc) -> None:
        parts(doc)[5].update(label="x" * 36)
        doc["os"] = {"hostname": "a" * 64, "users": [{"name": "a" * 32}]}

    assert findings(edit) == []


def test_the_base_document_is_fine() -> None:
    assert findings(lambda d: None) == []


def test_the_base_document_with_verity_is_fine() -> None:
    assert findings(verity) == []


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_upstreams_samples_are_valid(sample: Path) -> None:
    assert errors(validate(load.load_file(sample))) == []


@pytest.mark.parametrize(("code", "path", "edit"), [*GRAPH, *STORAGE, *REST, *EXTRA])
def test_the_first_error_names_the_rule_and_the_place(code: str, path: str, edit: Edit) -> None:
    first = errors(findings(edit))[0]
    assert (first.code, first.path) == (code, path)
    assert first.line is not None


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        ("partition-type-mismatch-special", lambda d: parts(d)[2].update(type="usr")),
        (
            "overlay-on-verity-protected-volume",
            lambda d: filesystems(d)[4].update(deviceId="root"),
        ),
    ],
)
def test_rules_that_never_break_alone_are_reported_with_the_others(code: str, edit: Edit) -> None:
    assert code in [finding.code for finding in findings(both(verity, edit))]


def test_all_errors_of_a_document_are_found_at_once() -> None:
    edit = both(
        set_os(users=[{"name": "a"}, {"name": "a"}]),
        lambda d: parts(d)[3].update(size=1),
        lambda d: filesystems(d)[2].update(deviceId="no"),
    )
    assert [f.code for f in errors(findings(edit))] == [
        "basic-check-failed",
        "non-existent-reference",
        "duplicate-usernames",
    ]


def test_a_guid_of_a_named_type_counts_as_that_type() -> None:
    guid = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
    assert findings(lambda d: parts(d)[0].update(type=guid)) == []


def test_without_an_agent_on_the_target_the_datastore_is_not_checked() -> None:
    edit = lambda d: d.update(trident={"disable": True, "datastorePath": "/nowhere"})  # noqa: E731
    assert findings(edit) == []


def test_an_adopted_esp_is_accepted() -> None:
    def adopt(doc: Doc) -> None:
        parts(doc).pop(0)
        doc["storage"]["disks"][0]["adoptedPartitions"] = [{"id": "esp", "matchLabel": "esp"}]

    assert findings(adopt) == []
