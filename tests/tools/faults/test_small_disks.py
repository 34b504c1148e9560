"""Full and read-only file systems, real and small: what is written is whole, failures are named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent import datastore
from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import HostStatus, ServicingState, ServicingType
from agent.engine.context import Context
from agent.engine.execute import run_step
from agent.engine.subsystem import Phase, Step
from agent.linux import mounts
from agent.linux.run import run
from agent.reporting.recorder import Recorder
from agent.reporting.reports import reporting
from agent.servicing import diagnose
from agent.servicing.diagnose import DiagnoseRequest
from agent.subsystems.boot import esp, fallback
from agent.subsystems.boot.esp import BootFile

pytestmark = pytest.mark.tools

SIZE = 2 << 20
PROVISIONED = HostStatus(servicing_state=ServicingState.PROVISIONED)


@contextmanager
def disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted ext4 file system of 2 MiB."""
    file = tmp_path / "disk.img"
    with file.open("wb") as stream:
        stream.truncate(SIZE)
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", file])
    with mounts.mounted(file, tmp_path / "disk") as root:
        yield root


def fill(root: Path, *, leave_bytes: int = 0) -> None:
    """Use up all space but about `leave_bytes`."""
    with (root / "filler").open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(4096)):
                pass
        except OSError:
            stream.truncate(max(0, stream.tell() - leave_bytes))


def in_a_step(act: Callable[[], None]) -> TridentError:
    """The error of a step that does `act`."""
    context = Context(HostConfiguration(), ServicingType.AB_UPDATE)
    step = Step("boot/files", Phase.PROVISION, "copying the boot files", lambda _: act())
    with pytest.raises(TridentError) as caught:
        run_step(step, context, Recorder("update", []))
    return caught.value


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_f13_a_row_that_does_not_fit_is_not_there_and_the_others_are(tmp_path: Path) -> None:
    with disk(tmp_path) as root, datastore.created(root / "d.sqlite") as store:
        store.append(PROVISIONED)
        fill(root, leave_bytes=16 << 10)
        long = PROVISIONED.model_copy(update={"last_error": {"message": "x" * 100_000}})
        with pytest.raises(TridentError) as caught:
            store.append(long)
        assert caught.value.identifier == "servicing/write-to-datastore"
        assert "has space" in (caught.value.hint or "")
        with datastore.opened(root / "d.sqlite") as again:
            assert again.latest() == PROVISIONED
            assert len(again.rows()) == 1
        (root / "filler").unlink()
        store.append(long)
        assert store.latest() == long


def test_f13_room_for_an_operation_is_asked_for_before_it_begins(tmp_path: Path) -> None:
    with disk(tmp_path) as root, datastore.created(root / "d.sqlite") as store:
        store.append(PROVISIONED)
        store.require_room()
        fill(root, leave_bytes=64 << 10)
        with pytest.raises(TridentError, match="bytes free, 1048576 are needed"):
            store.require_room()


def test_f13_a_datastore_that_cannot_be_replaced_stays_and_leaves_nothing(tmp_path: Path) -> None:
    with disk(tmp_path) as root:
        path = root / "d.sqlite"
        datastore.persist(PROVISIONED, path)
        fill(root)
        with pytest.raises(TridentError) as caught:
            datastore.persist(HostStatus(install_index=3), path)
        assert caught.value.identifier == "servicing/write-to-datastore"
        assert names(root) == {"d.sqlite", "filler"}
        with datastore.opened(path) as store:
            assert store.latest() == PROVISIONED


def test_f13_logs_end_with_a_whole_line_and_the_operation_goes_on(tmp_path: Path) -> None:
    seen: list[str] = []
    with disk(tmp_path) as root:
        fill(root, leave_bytes=12 << 10)
        with reporting("update", None, [lambda e: seen.append(e.type)], log_directory=root) as said:
            for number in range(2000):
                said.recorder.step_started(f"step/{number}", "x" * 100)
                said.recorder.step_done(f"step/{number}", 0.1)
        assert len(seen) == 4000
        for name in ("trident-full.log", "trident-metrics.jsonl"):
            text = (root / name).read_text()
            assert text == "" or text.endswith("\n")
            for line in text.splitlines():
                json.loads(line)
        assert len((root / "trident-full.log").read_text()) > 1000


def test_f13_a_bundle_that_does_not_fit_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    noise = tmp_path / "var/log/trident-full.log"
    noise.parent.mkdir(parents=True)
    run(["sh", "-c", f"head -c 3000000 /dev/urandom | base64 > {noise}"])
    with disk(tmp_path) as root:
        with pytest.raises(TridentError) as caught:
            diagnose.run(DiagnoseRequest(root / "out.tar.zst", root=tmp_path))
        assert caught.value.identifier == "internal/generate-diagnostics-bundle"
        assert "No space left" in caught.value.message
        assert names(root) == set()


def test_f14_an_esp_without_room_is_refused_with_the_bytes_before_a_file_is_written(
    tmp_path: Path,
) -> None:
    with disk(tmp_path) as root:
        (root / "EFI/AZLA").mkdir(parents=True)
        (root / "EFI/AZLA/bootx64.efi").write_bytes(b"old")
        selected = [BootFile("EFI/AZLB/bootx64.efi", bytes(SIZE))]
        with pytest.raises(TridentError) as caught:
            esp.require_room(root, selected)
        assert caught.value.identifier == "servicing/deploy-esp-images"
        assert f"need {SIZE} bytes" in caught.value.message
        assert int(caught.value.fields["availableBytes"]) < SIZE
        assert names(root) == {"EFI/AZLA/bootx64.efi"}


def test_f13_an_esp_that_fills_up_all_the_same_keeps_the_old_files(tmp_path: Path) -> None:
    with disk(tmp_path) as root:
        (root / "EFI/AZLB").mkdir(parents=True)
        (root / "EFI/AZLB/bootx64.efi").write_bytes(b"old")
        selected = [BootFile("EFI/AZLB/bootx64.efi", bytes(SIZE))]
        error = in_a_step(lambda: esp.copy(root, selected, "AZLB"))
        assert error.identifier == "servicing/file-access"
        assert "EFI/AZLB/bootx64.efi: No space left on device" in error.message
        assert "make the partition larger" in (error.hint or "")
        assert error.context == ["copying the boot files"]
        assert names(root) == {"EFI/AZLB/bootx64.efi"}
        assert (root / "EFI/AZLB/bootx64.efi").read_bytes() == b"old"


def test_f24_a_read_only_esp_is_named_with_what_to_do_and_tried_once(tmp_path: Path) -> None:
    with disk(tmp_path) as root:
        (root / "EFI/AZLB").mkdir(parents=True)
        (root / "EFI/AZLB/bootx64.efi").write_bytes(b"old")
        run(["mount", "-o", "remount,ro", root])
        new = [BootFile("EFI/AZLB/bootx64.efi", b"new")]
        for error in (
            in_a_step(lambda: esp.copy(root, new, "AZLB")),
            in_a_step(lambda: fallback.replace(root, "AZLB")),
        ):
            assert error.identifier == "servicing/file-access"
            assert "Read-only file system" in error.message
            assert "fsck.vfat" in (error.hint or "")
        assert names(root) == {"EFI/AZLB/bootx64.efi"}


def test_f24_a_datastore_on_a_read_only_file_system_is_read_and_not_written(tmp_path: Path) -> None:
    with disk(tmp_path) as root:
        datastore.persist(PROVISIONED, root / "d.sqlite")
        run(["mount", "-o", "remount,ro", root])
        with datastore.opened(root / "d.sqlite") as store:
            assert store.latest() == PROVISIONED
            with pytest.raises(TridentError) as caught:
                store.append(HostStatus())
        assert caught.value.identifier == "servicing/write-to-datastore"
        assert "writable" in (caught.value.hint or "")
