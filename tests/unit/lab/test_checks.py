"""Expectations: what satisfies them and what the complaint says."""

from __future__ import annotations

from lab import checks, scenario
from lab.console import Answer
from lab.firmware import BootEntry, Nvram
from lab.record import Event, HostRecord, missing_in_order, status_value

RECORD = HostRecord.model_validate(
    {
        "mac": "52:54:00:77:00:01",
        "state": "failed",
        "declared": True,
        "hostStatus": "servicingState: provisioned\nspec: {storage: {disks: [{id: os}]}}\n",
        "lastError": {"message": "wrong", "error": "corrupt-os-image"},
        "aKeyOfTheFuture": 1,
    }
)
EVENTS = [
    Event(id=number, time="t", source=source, event=event, detail=detail)
    for number, (source, event, detail) in enumerate(
        [("dhcp", "ack", {}), ("http", "image", {"start": 7}), ("agent", "step-done", {})]
    )
]
NVRAM = Nvram((2, 1), None, (BootEntry(1, "UEFI PXEv4", "MAC()"), BootEntry(2, "AZLA", "HD()")))


def test_events_may_lie_between_the_wanted_ones_but_the_order_counts() -> None:
    names = ["a", "b", "c"]
    assert missing_in_order(names, ["a", "c"]) == []
    assert missing_in_order(names, ["c", "a"]) == ["a"]


def test_a_timeline_is_held_against_wanted_and_unwanted_events() -> None:
    assert (
        checks.timeline(scenario.Timeline(contains=("dhcp/ack", "agent/step-done")), EVENTS) is None
    )
    assert "http/rootfs" in str(
        checks.timeline(scenario.Timeline(contains=("http/rootfs",)), EVENTS)
    )
    assert "dhcp/ack occurs" in str(checks.timeline(scenario.Timeline(lacks=("dhcp/ack",)), EVENTS))


def test_a_request_that_begins_inside_the_root_image_is_a_resumption() -> None:
    assert checks.resumed(EVENTS, 5, 10) is None
    assert checks.resumed(EVENTS, 7, 10) is not None
    assert checks.resumed([], 0, 10) is not None


def test_host_status_values_are_named_by_path() -> None:
    assert status_value(RECORD.host_status, "spec.storage.disks.0.id") == "os"
    assert status_value(RECORD.host_status, "spec.storage.disks.1.id") is None
    assert status_value(None, "servicingState") is None
    wanted = scenario.Value(path="servicingState", equals="provisioned")
    assert checks.host_status(wanted, RECORD) is None
    assert "None" in str(checks.host_status(wanted, None))


def test_state_and_last_error() -> None:
    assert checks.state(scenario.State(equals="failed"), RECORD) is None
    assert "failed, not provisioned" in str(
        checks.state(scenario.State(equals="provisioned"), RECORD)
    )
    assert checks.last_error(scenario.LastError(contains=("corrupt-os-image",)), RECORD) is None
    assert checks.last_error(scenario.LastError(contains=("disk-too-small",)), RECORD) is not None
    assert checks.last_error(scenario.LastError(), None) == "the server holds no error"


def test_boot_entries_by_title_and_by_place() -> None:
    assert checks.boot_entries(scenario.BootEntries(first="AZLA", lacks=("AZLB",)), NVRAM) is None
    assert "AZLA" in str(checks.boot_entries(scenario.BootEntries(lacks=("AZLA",)), NVRAM))
    assert "AZLA" in str(checks.boot_entries(scenario.BootEntries(first="PXE"), NVRAM))
    assert checks.boot_entries(scenario.BootEntries(), None) == "the machine has no NVRAM"


def test_guest_commands_by_status_and_output() -> None:
    command = scenario.GuestCommand(command="x", contains="yes", lacks="no")
    assert checks.guest(command, Answer(0, "yes\n")) is None
    assert "ended with 1" in str(checks.guest(command, Answer(1, "yes")))
    assert "printed no" in str(checks.guest(command, Answer(0, "")))
    assert "printed /no/" in str(checks.guest(command, Answer(0, "yes no")))


def test_the_firmware_started_these_entries_and_no_others() -> None:
    titles = ("UEFI PXEv4 (MAC:52)", "AZLA")
    assert checks.started(scenario.Started(titles=("PXEv4", "^AZLA$")), titles) is None
    assert "PXEv4" in str(checks.started(scenario.Started(titles=("^AZLA$",)), titles))
    assert "nothing" in str(checks.started(scenario.Started(titles=("AZLA",)), ()))


def test_a_served_medium_has_the_digest_that_was_announced() -> None:
    wanted = scenario.ServedMedium(installs=True)
    iso = {"url": "http://server/iso/x.iso", "installs": True, "sha384": "ab"}
    record = HostRecord(mac="x", state="declared", declared=True, iso=iso)
    assert checks.served_medium(wanted, record, lambda url: "ab") is None
    assert "announced was ab" in str(checks.served_medium(wanted, record, lambda url: "cd"))
    other = scenario.ServedMedium(installs=False)
    assert checks.served_medium(other, record, lambda url: "ab") == "the medium installs"
    assert record.iso is not None
    refused = record.model_copy(update={"iso": record.iso.model_copy(update={"problem": "no"})})
    assert "no" in str(checks.served_medium(wanted, refused, lambda url: "ab"))
    assert checks.served_medium(wanted, None, lambda url: "ab") is not None
