"""The installation medium and sticks in this machine: what they hold, and letting go of them.

The initrd keeps the medium mounted (docs/architecture.md, "Installation medium"); it stays so
during the installation, which may read images from it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agent.api import load
from agent.api.errors import Kind, TridentError, context
from agent.check import findings, validate
from agent.linux import block, eject, files, mounts
from agent.medium import provisions as names_on_medium
from installer import network, provisions, receipt, shelves, trust
from installer.cmdline import BootParameters
from installer.provisions import Live
from installer.shelves import Found, Shelf

MOUNT_POINT = Path("/run/trident/medium")
STICK_LABEL = "TRIDENT-CFG"
STICK_MOUNT_POINT = Path("/run/trident/stick")
SMBIOS = Path("/sys/class/dmi/id")
_OVERLAY = "trident/overlay"
_FOLDER = "trident"


def collect(parameters: BootParameters, keep: Path, tell: Callable[[str], None]) -> None:
    """Find this machine's Host Configuration, check it and store it at `keep`.

    Needs: the medium was found to be trusted. Raises medium-untrusted, medium-unreadable and what
    `accepted` raises; then nothing is stored.
    """
    at_hand = [*_sticks(), *on_medium(MOUNT_POINT)]
    found = accepted(parameters, at_hand, names(network.INTERFACES, SMBIOS))
    if parameters.medium is not None:
        trust.require_image(MOUNT_POINT, load.load_document(found.text).configuration)
    keep.parent.mkdir(parents=True, exist_ok=True)
    files.write(keep, found.text, mode=0o600)
    tell(f"the Host Configuration is {found.place}")


def bring(tell: Callable[[str], None], root: Path = MOUNT_POINT, live: Live | None = None) -> None:
    """Put in place what the medium brings for the live system.

    Needs: the medium was found to be trusted.
    Raises medium-unreadable, provisions-not-placed, servicing/command-failed.
    """
    area = root / _OVERLAY
    later = _members(area) if area.exists() else {}
    provisions.put([later, _built_in(root)], tell, live or Live())


def accepted(
    parameters: BootParameters, at_hand: Sequence[Shelf], machine: frozenset[str]
) -> Found:
    """The Host Configuration of the machine with these names, when it may be installed.

    Raises no-host-configuration, configuration-ambiguous, installed-already,
    parse-host-configuration and what the rules find.
    """
    found = shelves.choose(at_hand, machine)
    with context(f"reading {found.place}"):
        loaded = load.load_document(found.text)
        findings.require_clean(validate.validate(loaded.configuration, loaded.positions))
    if parameters.medium is not None and not parameters.reinstall:
        receipt.require_new(parameters.medium, found.text)
    return found


def on_medium(root: Path) -> Iterator[Shelf]:
    """What was embedded into the medium: later (its reserved area), then when it was built."""
    area = root / _OVERLAY
    if area.exists():
        yield Shelf("the medium (embedded later)", _in_archive(area))
    yield Shelf("the medium", in_folder(root / _FOLDER))


def in_folder(folder: Path) -> dict[str, bytes]:
    """The Host Configurations in a folder, by their names on a shelf. Raises read-input-file."""
    paths = [folder / shelves.FOR_ALL, *sorted((folder / shelves.FOLDER).glob("*.yaml"))]
    return {
        path.relative_to(folder).as_posix(): load.read_file(path)
        for path in paths
        if path.is_file()
    }


def names(interfaces: Path, smbios: Path) -> frozenset[str]:
    """What a Host Configuration may call this machine: MAC addresses, serial number, UUID."""
    found = {mac.replace(":", "-") for mac in network.addresses(interfaces)}
    for field in ("product_serial", "product_uuid"):
        try:
            found.add((smbios / field).read_text().strip().lower())
        except OSError:
            continue
    return frozenset(found - {""})


def release(tell: Callable[[str], None], mount_point: Path = MOUNT_POINT) -> None:
    """Unmount the medium; eject a disc, ask for the removal of anything else. Never raises.

    The installation is complete by now: a drive that does not open is not its failure.
    """
    try:
        mounted = mounts.at(mount_point)
        if mounted is None:
            return
        mounts.unmount(mount_point)
        device = Path(mounted.source)
        if block.inspect(device).type == "rom":
            eject.eject(device)
            tell(f"the disc in {device} was ejected")
        else:
            tell(f"remove the installation medium {device}: it is not needed any more")
    except TridentError as error:
        tell(f"remove the installation medium by hand ({error.one_line()})")


def _sticks() -> Iterator[Shelf]:
    for top in block.all_devices():
        for device in top.walk():
            if (device.filesystem_label or "").upper() == STICK_LABEL:
                with (
                    context(f"reading the stick {device.path}"),
                    mounts.mounted(device.path, STICK_MOUNT_POINT, options=("ro",)) as root,
                ):
                    yield Shelf(f"the stick {device.path}", in_folder(root))


def _built_in(root: Path) -> dict[str, bytes]:
    """The provisions that the medium was built with."""
    single = (names_on_medium.SCRIPT, names_on_medium.NETWORK, names_on_medium.AUTHORITY)
    paths = [*(root / name for name in single), *(root / names_on_medium.FILES).glob("*")]
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.is_file()
    }


def _in_archive(area: Path) -> dict[str, bytes]:
    prefix = f"{_FOLDER}/"
    return {
        name.removeprefix(prefix): data
        for name, data in _members(area).items()
        if name.startswith(prefix) and not names_on_medium.is_provision(name)
    }


def _members(area: Path) -> dict[str, bytes]:
    """The files in the reserved area, by their whole names. Raises medium-unreadable."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(area, mode="r:") as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is not None:
                    found[member.name] = stream.read()
    except (tarfile.ReadError, OSError) as error:
        raise TridentError(
            Kind.INITIALIZATION,
            "medium-unreadable",
            f"what was embedded into the medium cannot be read: {error}",
            hint="write the medium anew, or customise the image again",
        ) from error
    return found
