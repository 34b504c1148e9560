"""Faults of an installed host, for real: full and read-only disks, cuts, a damaged datastore."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.api.status import AbVolume, ServicingState
from tests.kit.update_sandbox import configure, drive, ends, firmware, of_side, rows
from tests.tools.agent import test_update as sandbox

pytestmark = pytest.mark.tools

STORE = "/var/lib/trident/datastore.sqlite"
work = sandbox.work

UPDATE = "update stage,finalize"
FILL = "dd if=/dev/zero of=/var/lib/trident/filler bs=4k 2>/dev/null || true"


def test_f05_power_cut_in_a_commit_that_moved_the_boot_order_is_made_good(work: Path) -> None:
    moved = (
        f'sh echo "{{\\"next\\": null, \\"order\\": [\\"AZLB\\", \\"AZLA\\"]}}" > {work}/firmware'
    )
    output = drive(
        work,
        configure(work, "v2"),
        *(UPDATE, "power-on", "commit - commit/fallback", moved, "power-on", "commit", "commit"),
    )
    text = "\n".join(output)
    assert "failed 137" in output, text
    assert output.count("booted root-b") == 2, text
    assert ends(output)[-2:] == ["commit provisioned None volume-b stay left []"] * 2, text


@pytest.mark.parametrize("step", ["commit/root", "commit/health", "commit/boot"])
def test_f05_power_cut_in_a_commit_before_that_ends_on_the_old_system(
    work: Path, step: str
) -> None:
    output = drive(
        work,
        configure(work, "v2"),
        *(UPDATE, "power-on", f"commit - {step}", "power-on", "commit", UPDATE),
    )
    text = "\n".join(output)
    assert "failed 137" in output, text
    assert "refused servicing/ab-update-reboot-check" in text
    assert ends(output)[-2:] == [
        "commit provisioned None volume-a stay left []",
        "update ab-update-finalized None volume-a reboot left []",
    ], text


def test_f06_an_unhealthy_system_that_is_booted_again_gives_way_again(work: Path) -> None:
    checks = [{"name": "sick", "runOn": ["ab-update"], "content": "exit 3"}]
    output = drive(
        work,
        configure(work, "v2", health={"checks": checks}),
        *(UPDATE, "power-on", "commit", "boot root-b", "commit", "power-on", "commit"),
    )
    text = "\n".join(output)
    assert ends(output)[-3:] == [
        "commit ab-update-health-check-failed None volume-a stay left []",
        "power-on ab-update-health-check-failed None volume-a stay left []",
        "commit provisioned None volume-a stay left []",
    ], text
    assert "refused servicing/ab-update-reboot-check" in text
    assert "refused health-checks/ab-update-health-check-commit-check" in text


def test_f13_a_volume_without_room_for_the_datastore_is_found_before_anything_is_written(
    work: Path,
) -> None:
    before = f"sh sha256sum {work}/root-b.img > {work}/before"
    after = f"sh sha256sum -c {work}/before"
    free = "sh rm /var/lib/trident/filler"
    output = drive(work, configure(work, "v2"), before, f"sh {FILL}", UPDATE, after, free, UPDATE)
    text = "\n".join(output)
    assert "refused servicing/write-to-datastore" in text
    assert "bytes free, 1048576 are needed" in text
    assert f"{work}/root-b.img: OK" in output, text
    assert ends(output)[-1] == "update ab-update-finalized None volume-a reboot left []", text


def test_f13_a_disk_that_fills_up_while_an_update_is_staged_costs_no_row_and_no_boot(
    work: Path,
) -> None:
    """The intention is stored, the fact cannot be: the old system runs, the update is repeated."""
    fill = {"name": "fill", "runOn": ["all"], "content": FILL}
    output = drive(
        work,
        configure(work, "v2", scripts={"postConfigure": [], "postProvision": [fill]}),
        *(UPDATE, "sh rm /var/lib/trident/filler", "power-on", "commit"),
        *(configure(work, "v3"), UPDATE, "power-on", "commit"),
    )
    text = "\n".join(output)
    assert "refused servicing/write-to-datastore" in text
    assert ends(output)[-4:] == [
        "commit provisioned None volume-a stay left []",
        "update ab-update-finalized None volume-a reboot left []",
        "power-on ab-update-finalized None volume-a stay left []",
        "commit provisioned None volume-b stay left []",
    ], text
    stored = [(row.servicing_state, row.overwritten_volume) for row in rows(work)]
    assert stored[1] == (ServicingState.PROVISIONED, AbVolume.B)


def test_f13_logs_on_a_full_disk_end_and_the_update_goes_on(work: Path) -> None:
    small = "sh mount -t tmpfs -o size=16k tmpfs /var/log"
    output = drive(work, configure(work, "v2"), small, UPDATE)
    text = "\n".join(output)
    assert ends(output)[-1] == "update ab-update-finalized None volume-a reboot left []", text


def test_f24_a_read_only_volume_of_the_datastore_stops_an_update_before_it_begins(
    work: Path,
) -> None:
    before = f"sh sha256sum {work}/root-b.img > {work}/before"
    after = f"sh sha256sum -c {work}/before"
    output = drive(
        work,
        configure(work, "v2"),
        *(before, "sh mount -o remount,ro /var/lib/trident", UPDATE, after),
        *("sh mount -o remount,rw /var/lib/trident", UPDATE),
    )
    text = "\n".join(output)
    assert "refused servicing/write-to-datastore" in text
    assert f"{work}/root-b.img: OK" in output, text
    assert ends(output)[-1] == "update ab-update-finalized None volume-a reboot left []", text


def test_f55_of_two_operations_one_is_refused_and_told_by_whom(work: Path) -> None:
    slow = {"name": "slow", "runOn": ["all"], "content": f"touch {work}/runs; sleep 250"}
    v2 = configure(work, "v2", scripts={"postProvision": [slow]})
    driver = f"{sys.executable} -m tests.kit.update_driver {work}"
    both = (
        f"{driver} {UPDATE} & p=$!; until test -e {work}/runs; do sleep 0.05; done; "
        f"{driver} commit; {driver} rollback stage; kill $p; wait $p"
    )
    output = drive(work, v2, f"sh {both}")
    refusals = [line for line in output if line.startswith("refused servicing/busy")]
    assert len(refusals) == 2, "\n".join(output)
    assert all("'update' in process" in line for line in refusals)


@pytest.mark.parametrize(
    "damage", [f": > {STORE}", f"truncate -s 5000 {STORE}", f"echo broken > {STORE}"]
)
def test_f57_a_damaged_datastore_is_never_taken_for_a_host_that_is_not_installed(
    work: Path, damage: str
) -> None:
    """Here no firmware vouches for the running side: refused, kept, and nothing is changed."""
    output = drive(
        work,
        configure(work, "v2"),
        f"sh cp {STORE} {work}/whole; {damage}; cp {STORE} {work}/damaged",
        *("commit", UPDATE, "rollback stage"),
        f"sh cmp {STORE} {work}/damaged && ls {STORE}.corrupt-*; cp {work}/whole {STORE}",
        UPDATE,
    )
    text = "\n".join(output)
    assert text.count("refused initialization/load-host-status") == 3, text
    assert "not installed" not in text
    assert "not rebuilt, because of doubts" in text
    assert text.count(f"{STORE}.corrupt-") > 0
    assert ends(output)[-1] == "update ab-update-finalized None volume-a reboot left []", text


def test_f58_what_a_later_agent_stored_survives_an_update_by_this_one(work: Path) -> None:
    """Its fields are in the old system's configuration until that is gone."""
    (work / "add.sql").write_text(
        "insert into hoststatus (contents) select replace(contents, 'spec:', 'laterFact: 7\nspec:"
        "\n  attestation: {nonce: 1}') from hoststatus;\n"
    )
    later = f"sh sqlite3 {STORE} < {work}/add.sql"
    output = drive(work, later, configure(work, "v2"), UPDATE)
    assert ends(output)[-1] == "update ab-update-finalized None volume-a reboot left []"
    last = rows(work)[-1]
    assert last.model_extra == {"laterFact": 7}
    assert last.spec_old.model_extra == {"attestation": {"nonce": 1}}
    assert last.spec.model_extra in (None, {})


def test_f65_what_is_finalized_is_what_was_staged(work: Path) -> None:
    use = [configure(work, "v2"), configure(work, "v3")]
    output = drive(
        work, use[0], "update stage", use[1], "update finalize", "finalize-staged", "power-on"
    )
    text = "\n".join(output)
    assert "refused invalid-input/staged-configuration-changed" in text
    assert ends(output)[-2] == "finalize-staged ab-update-finalized None volume-a reboot left []"
    assert of_side(work, "root-b", "/etc/motd") == b"v2\n"
    assert firmware(work)[1] == ["AZLA", "AZLB"]
