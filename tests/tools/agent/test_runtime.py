"""Runtime updates and rollbacks for real, in a private mount namespace; see update_driver.py.

systemd-sysext is the host's own and merges into the sandbox's /usr.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.api.status import ServicingState
from tests.kit import nginx
from tests.kit.extensions import image, sysext
from tests.kit.receiver import receiver
from tests.kit.update_sandbox import configure, drive, ends, listing, rows
from tests.unit.cosi.images import cosi_bytes

pytestmark = pytest.mark.tools

BOTH = "update stage,finalize"
FINALIZE = ("network/apply!", "extensions/apply!", "health/checks!")
LEFT = "find /var/lib/extensions /var/lib/confexts /etc/extensions -mindepth 1 2>/dev/null | sort"
OLD_BYTES = "# by hand\\nnetwork: {version: 2}\\n"
BY_HAND = f'sh printf "{OLD_BYTES}" > /etc/netplan/99-trident.yaml; chmod 640 /etc/netplan/99-*'


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "image.cosi").write_bytes(cosi_bytes())
    version(tmp_path, "v1")
    return tmp_path


def version(work: Path, name: str, *, checks: list[dict[str, Any]] | None = None, **os: Any) -> str:
    """A configuration that differs from v1 by what a runtime update can change."""
    image_hash = hashlib.sha384(b"an image that is not fetched").hexdigest()
    more = {} if checks is None else {"health": {"checks": checks}}
    return configure(
        work, name, image={"url": "http://192.0.2.1/os.cosi", "sha384": image_hash}, os=os, **more
    )


def netplan(address: str) -> dict[str, Any]:
    return {"version": 2, "dummy-devices": {"d0": {"addresses": [address]}}}


def check(content: str) -> list[dict[str, Any]]:
    return [{"name": "asked", "runOn": ["runtime-update"], "content": content}]


def applied(work: Path) -> str:
    return (work / "applied").read_text()


def test_network_and_extension_change_without_a_reboot(work: Path) -> None:
    tools = sysext(work, "tools")
    v2 = version(
        work,
        "v2",
        netplan=netplan("192.0.2.2/24"),
        sysexts=[tools],
        checks=check('test "$SERVICING_TYPE $(cat /usr/share/tools)" = "runtime_update hello"'),
    )
    output = drive(work, v2, BOTH, f"sh cat /usr/share/tools; {LEFT}", "power-on", "commit", BOTH)
    assert ends(output)[1:] == [
        "update provisioned None volume-a stay left []",
        "power-on provisioned None volume-a stay left []",
        "commit provisioned None volume-a stay left []",
        "update provisioned None volume-a stay left []",
    ], "\n".join(output)
    assert "hello" in output
    assert [line for line in output if line.startswith("/var/lib")] == [
        "/var/lib/extensions/tools.raw"
    ]
    assert "192.0.2.2/24" in applied(work)
    history = rows(work)
    assert [(row.servicing_state, row.applying) for row in history] == [
        (ServicingState.PROVISIONED, False),
        (ServicingState.RUNTIME_UPDATE_STAGED, False),
        (ServicingState.RUNTIME_UPDATE_STAGED, True),
        (ServicingState.PROVISIONED, False),
    ]
    assert str(history[-1].spec.os.sysexts[0].path) == "/var/lib/extensions/tools.raw"
    assert history[-1].spec_old.os.sysexts == ()
    kept = listing(work, "trident", "/")
    assert "trident-RuntimeUpdateStaged-" in kept
    assert "trident-Provisioned-" in kept
    assert "netplan-before" not in kept


@pytest.mark.parametrize("form", ["squashfs", "ext4"])
def test_an_extension_is_replaced_by_its_next_version_and_removed(work: Path, form: str) -> None:
    v2 = version(work, "v2", sysexts=[sysext(work, "tools", "one", form=form)])
    v3 = version(work, "v3", sysexts=[sysext(work, "tools", "two", form=form)])
    v4 = version(work, "v4", sysexts=[])
    show = f"sh cat /usr/share/tools || echo gone; {LEFT}"
    output = drive(work, v2, BOTH, show, v3, BOTH, show, v4, BOTH, show)
    shown = [line for line in output if line in ("one", "two", "gone") or line.startswith("/var")]
    placed = "/var/lib/extensions/tools.raw"
    assert shown == ["one", placed, "two", placed, "gone"], "\n".join(output)


def test_an_image_that_is_already_there_is_not_fetched_again(work: Path) -> None:
    first, second = sysext(work, "first"), sysext(work, "second")
    (work / "gone").mkdir()
    moved = first | {"url": f"file://{work}/gone/first.raw"}
    v2 = version(work, "v2", sysexts=[first])
    v3 = version(work, "v3", sysexts=[moved, second])
    output = drive(work, v2, BOTH, v3, BOTH, "sh cat /usr/share/first /usr/share/second")
    assert output[-2:] == ["hello", "hello"], "\n".join(output)


def test_an_image_is_fetched_over_http_and_named_by_its_configuration(work: Path) -> None:
    tools = sysext(work, "tools")
    with nginx.serving(work) as url:
        path = "/etc/extensions/tools.raw"
        given = tools | {"url": f"{url}/tools-hello.raw", "path": path}
        output = drive(work, version(work, "v2", sysexts=[given]), BOTH, f"sh {LEFT}")
    assert output[-1] == path, "\n".join(output)


def test_stage_changes_nothing_and_survives_a_reboot(work: Path) -> None:
    v2 = version(work, "v2", netplan=netplan("192.0.2.2/24"), sysexts=[sysext(work, "tools")])
    look = "sh ls /etc/netplan /usr/share/tools 2>&1 | grep -c tools.*No || true"
    output = drive(work, v2, "update stage", look, "power-on", "commit", "finalize-staged")
    assert ends(output)[1:] == [
        "update runtime-update-staged None volume-a stay left []",
        "power-on runtime-update-staged None volume-a stay left []",
        "commit runtime-update-staged None volume-a stay left []",
        "finalize-staged provisioned None volume-a stay left []",
    ], "\n".join(output)
    assert "1" in output
    assert "192.0.2.2/24" in applied(work)


def test_what_was_staged_is_finalized_and_nothing_else(work: Path) -> None:
    tools = [sysext(work, "tools")]
    v2, v3 = version(work, "v2", sysexts=tools), version(work, "v3", netplan=netplan("::1/128"))
    output = drive(work, v2, "update stage", v3, "update finalize", v2, "update finalize")
    assert "refused invalid-input/staged-configuration-changed" in " ".join(output)
    assert ends(output)[-1] == "update provisioned None volume-a stay left []", "\n".join(output)


def test_a_staged_image_that_was_tampered_with_is_not_used(work: Path) -> None:
    v2 = version(work, "v2", sysexts=[sysext(work, "tools")])
    spoil = "sh for f in /var/lib/extensions/.staging/*; do echo x >> $f; done"
    output = drive(work, v2, "update stage", spoil, "finalize-staged", f"sh {LEFT}")
    assert "refused servicing/find-staged-file" in " ".join(output)
    assert ends(output)[-1] == "finalize-staged provisioned None volume-a stay left []"


def test_a_plan_says_what_is_fetched_written_and_run(work: Path) -> None:
    tools = sysext(work, "tools")
    v2 = version(work, "v2", sysexts=[tools])
    v3 = version(work, "v3", netplan=netplan("192.0.2.2/24"), checks=check("true"))
    output = "\n".join(drive(work, v2, BOTH, v3, "plan", f"sh {LEFT}"))
    assert "os.netplan changed, os.sysexts changed" in output
    for line in (
        "write   /etc/netplan/99-trident.yaml",
        "run     netplan apply",
        "change  /var/lib/extensions/tools.raw: removed",
        "run     systemd-sysext refresh",
        "run     health check asked",
        "no step destroys data",
    ):
        assert line in output, output
    assert output.endswith("\n/var/lib/extensions/tools.raw")


@pytest.mark.parametrize(
    ("what", "changes", "checks"),
    [
        ("servicing/apply-netplan-config", {"netplan": netplan("unreachable")}, "true"),
        ("health-checks/health-checks-failed", {"netplan": netplan("192.0.2.2/24")}, "exit 3"),
    ],
)
def test_a_failure_is_taken_back_byte_for_byte_and_reported(
    work: Path, what: str, changes: dict[str, Any], checks: str
) -> None:
    old, new = sysext(work, "tools", "one"), sysext(work, "tools", "two")
    v2 = version(work, "v2", sysexts=[old])
    v3 = version(work, "v3", sysexts=[new], checks=check(checks), **changes)
    output = drive(
        work,
        *(v2, BOTH, BY_HAND, v3, BOTH),
        f"sh cat /usr/share/tools; stat -c %a /etc/netplan/99-trident.yaml; {LEFT}",
    )
    text = "\n".join(output)
    assert f"refused {what}" in text, text
    assert ends(output)[-1] == "update provisioned None volume-a stay left []", text
    assert output[-3:] == ["one", "640", "/var/lib/extensions/tools.raw"], text
    assert applied(work) == "# by hand\nnetwork: {version: 2}\n"
    last = rows(work)[-1]
    assert isinstance(last.last_error, dict)
    assert last.last_error["category"] == what.partition("/")[0]
    assert last.spec.os.sysexts[0].sha384 == old["sha384"]
    assert not last.applying
    assert "netplan-before" not in listing(work, "trident", "/")


def test_a_failure_is_phoned_home_as_one_and_success_as_such(work: Path) -> None:
    with receiver() as server:
        trident = {"phonehome": server.url("/m/phonehome")}
        for name, content in (("v2", "true"), ("v3", "false")):
            version(work, name, netplan=netplan(f"192.0.2.{name[1]}/24"), checks=check(content))
            text = (work / f"{name}.json").read_text()
            (work / f"{name}.json").write_text(
                text.replace("{", f'{{"trident": {str(trident).replace(chr(39), chr(34))}, ', 1)
            )
        drive(work, "use v2", BOTH, "use v3", BOTH)
        states = [item["state"] for item in server.bodies("/m/phonehome")]
    assert states == ["started", "succeeded", "started", "failed"]


def test_where_there_was_no_file_there_is_none_after_a_failure(work: Path) -> None:
    v2 = version(work, "v2", netplan=netplan("unreachable"))
    output = drive(work, v2, BOTH, "sh ls /etc/netplan | wc -l")
    assert output[-1] == "0", "\n".join(output)


def test_what_netplan_does_not_accept_is_refused_before_anything_changes(work: Path) -> None:
    output = drive(work, version(work, "v2", netplan=netplan("refused")), BOTH)
    assert "refused servicing/generate-netplan-config netplan does not accept" in " ".join(output)
    assert not (work / "netplan.log").exists()
    assert [row.servicing_state for row in rows(work)] == [ServicingState.PROVISIONED] * 2


def test_a_hash_that_does_not_match_is_refused_and_leaves_no_file(work: Path) -> None:
    wrong = sysext(work, "tools") | {"sha384": "0" * 96}
    output = drive(work, version(work, "v2", sysexts=[wrong]), BOTH, f"sh {LEFT}")
    assert "refused invalid-input/load-extension-image" in " ".join(output)
    assert output[-1] == "/var/lib/extensions/.staging"


@pytest.mark.parametrize(
    ("why", "fields"),
    [
        ("has no SYSEXT_ID", {"SYSEXT_ID": ""}),
        ("it is for 'fedora'", {"ID": "fedora"}),
        ("it is for arm64", {"ARCHITECTURE": "arm64"}),
        ("its SYSEXT_SCOPE is 'initrd'", {"SYSEXT_SCOPE": "initrd"}),
    ],
)
def test_an_image_that_systemd_would_leave_out_is_refused(
    work: Path, why: str, fields: dict[str, str]
) -> None:
    odd = sysext(work, "tools", **fields)
    output = " ".join(drive(work, version(work, "v2", sysexts=[odd]), BOTH))
    assert "refused invalid-input/invalid-extension-image the sysext tools-hello.raw" in output
    assert why in output, output


@pytest.mark.parametrize("names", ["", "ab"])
def test_an_image_with_two_names_or_none_is_refused(work: Path, names: str) -> None:
    folder = "usr/lib/extension-release.d/extension-release"
    contents = {f"{folder}.{name}": "ID=_any\n" for name in names} | {"usr/share/x": "x"}
    odd = image(work / "odd.raw", contents)
    output = " ".join(drive(work, version(work, "v2", sysexts=[odd]), BOTH))
    assert f"it holds {len(names)} files /usr/lib/extension-release.d" in output, output


def test_two_images_of_one_name_are_refused(work: Path) -> None:
    both = [sysext(work, "tools", "one"), sysext(work, "tools", "two")]
    output = " ".join(drive(work, version(work, "v2", sysexts=both), BOTH))
    assert "another image is to be /var/lib/extensions/tools.raw too" in output


def test_a_file_that_somebody_else_put_there_is_kept(work: Path) -> None:
    v2 = version(work, "v2", sysexts=[sysext(work, "tools")])
    own = "sh mkdir -p /var/lib/extensions; echo own > /var/lib/extensions/tools.raw"
    output = drive(work, v2, own, BOTH, "sh cat /var/lib/extensions/tools.raw")
    assert "refused servicing/set-up-extension-images" in " ".join(output)
    assert output[-1] == "own"


def test_a_confext_is_refused_by_name_where_systemd_has_none(work: Path) -> None:
    """bookworm's systemd is 252; confexts came with 254."""
    confext = image(work / "site.raw", {"etc/extension-release.d/extension-release.site": "ID=x\n"})
    output = drive(work, version(work, "v2", confexts=[confext]), BOTH)
    text = " ".join(output)
    assert "refused unsupported-configuration/unsupported-configuration" in text
    assert "this host has no systemd-confext, so the confext site.raw cannot be used" in text
    assert len(rows(work)) == 2


def test_an_image_that_is_listed_but_not_merged_fails_the_update(work: Path) -> None:
    """Its name inside fits, but systemd looks at other folders than the configuration."""
    odd = sysext(work, "tools") | {"path": "/.extra/sysext/tools.raw"}
    output = drive(work, version(work, "v2", sysexts=[odd]), BOTH, "sh ls /.extra/sysext | wc -l")
    assert "systemd-sysext did not merge tools" in " ".join(output)
    assert output[-1] == "0", "\n".join(output)


def test_what_cannot_be_taken_back_says_so_and_is_tried_again(work: Path) -> None:
    broken = f"touch {work}/netplan-broken; exit 3"
    v2 = version(work, "v2", netplan=netplan("192.0.2.2/24"), checks=check(broken))
    output = drive(work, v2, BOTH, "commit", f"sh rm {work}/netplan-broken", "commit", "commit")
    assert ends(output)[1:] == [
        "update runtime-update-staged None volume-a stay left []",
        "commit runtime-update-staged None volume-a stay left []",
        "commit provisioned None volume-a stay left []",
        "commit provisioned None volume-a stay left []",
    ], "\n".join(output)
    failed = rows(work)[3]
    assert isinstance(failed.last_error, dict)
    assert "health checks failed" in str(failed.last_error["message"])
    assert "and it could not be taken back: netplan" in str(failed.last_error["message"])
    assert failed.applying
    assert applied(work) == ""


def test_an_update_that_is_told_to_stop_is_taken_back(work: Path) -> None:
    """F10: SIGTERM, while a health check runs."""
    slow = check(f"touch {work}/runs; sleep 250")
    v2 = version(work, "v2", sysexts=[sysext(work, "tools")], checks=slow)
    driver = f"{sys.executable} -m tests.kit.update_driver {work} {BOTH}"
    told = f"{driver} & p=$!; until test -e {work}/runs; do sleep 0.05; done; kill $p; wait $p"
    output = drive(work, v2, f"sh {told}", f"sh {LEFT}")
    assert "refused servicing/interrupted stopped by SIGTERM" in output, "\n".join(output)
    assert ends(output)[-1] == "update provisioned None volume-a stay left []"
    assert output[-1] == ends(output)[-1], "nothing is left of it"


@pytest.mark.parametrize("step", FINALIZE)
def test_a_finalize_that_was_killed_is_taken_back_at_the_next_boot(work: Path, step: str) -> None:
    """Power was cut; `trident commit` of the next boot finds half of a change."""
    old, new = sysext(work, "tools", "one"), sysext(work, "tools", "two")
    v2 = version(work, "v2", sysexts=[old])
    v3 = version(work, "v3", sysexts=[new], netplan=netplan("192.0.2.3/24"), checks=check("true"))
    output = drive(
        work,
        *(v2, BOTH, BY_HAND, v3, f"{BOTH} {step}", "power-on", "commit"),
        "sh cat /usr/share/tools /etc/netplan/99-trident.yaml",
        *("commit", BOTH, "sh cat /usr/share/tools"),
    )
    text = "\n".join(output)
    assert "failed 137" in text
    assert "refused servicing/interrupted a change of the running system was interrupted" in text
    assert output[output.index("# by hand") - 1] == "one", text
    assert ends(output)[-3:] == [
        "commit provisioned None volume-a stay left []",
        "commit provisioned None volume-a stay left []",
        "update provisioned None volume-a stay left []",
    ], text
    assert output[-1] == "two"
    assert "192.0.2.3/24" in applied(work)


@pytest.mark.parametrize("step", FINALIZE)
def test_the_same_command_after_a_kill_ends_as_it_should(work: Path, step: str) -> None:
    new = sysext(work, "tools", "two")
    v2 = version(work, "v2", sysexts=[sysext(work, "tools", "one")])
    v3 = version(work, "v3", sysexts=[new], netplan=netplan("192.0.2.3/24"), checks=check("true"))
    again = "finalize-staged" if step.startswith("extensions") else BOTH
    output = drive(work, v2, BOTH, v3, f"{BOTH} {step}", again, "sh cat /usr/share/tools")
    assert "failed 137" in output
    assert ends(output)[-1] == f"{again.split()[0]} provisioned None volume-a stay left []"
    assert output[-1] == "two", "\n".join(output)
    assert rows(work)[-1].spec.os.netplan is not None


def test_another_update_after_a_kill_starts_from_the_system_of_before(work: Path) -> None:
    v2 = version(work, "v2", sysexts=[sysext(work, "left")], checks=check("true"))
    v3 = version(work, "v3", sysexts=[sysext(work, "right")])
    output = drive(work, v2, f"{BOTH} health/checks", v3, BOTH, f"sh {LEFT}")
    assert ends(output)[-1] == "update provisioned None volume-a stay left []", "\n".join(output)
    assert output[-1] == "/var/lib/extensions/right.raw"
    assert "/var/lib/extensions/left.raw" not in output


def test_a_runtime_update_is_gone_back_on_in_place(work: Path) -> None:
    old, new = sysext(work, "tools", "one"), sysext(work, "tools", "two")
    asked = 'echo "$SERVICING_TYPE" >> /var/log/asked'
    v2 = version(work, "v2", sysexts=[old], checks=check(asked))
    v3 = version(work, "v3", sysexts=[new], netplan=netplan("192.0.2.3/24"))
    output = drive(
        work,
        *(v2, BOTH, v3, BOTH, "check", "rollback-runtime stage", "power-on", "commit"),
        *("rollback finalize", "sh cat /usr/share/tools /var/log/asked", "check"),
        *("rollback stage,finalize", "check", f"sh {LEFT}"),
    )
    text = "\n".join(output)
    assert [line for line in output if line.startswith("next ")] == [
        "next runtime",
        "next runtime",
        "next None",
    ], text
    assert ends(output)[-7:-1] == [
        "rollback-runtime manual-rollback-runtime-staged None volume-a stay left []",
        "power-on manual-rollback-runtime-staged None volume-a stay left []",
        "commit manual-rollback-runtime-staged None volume-a stay left []",
        "rollback provisioned None volume-a stay left []",
        "check provisioned None volume-a stay left []",
        "rollback provisioned None volume-a stay left []",
    ], text
    shown = output.index("manual_rollback_runtime")
    assert output[shown - 2 : shown] == ["one", "runtime_update"], text
    assert applied(work) == ""
    assert not output[-1].startswith("/var/lib/extensions")
    assert rows(work)[-1].spec == rows(work)[0].spec


def test_a_rollback_whose_image_cannot_be_had_any_more_is_refused(work: Path) -> None:
    v2 = version(work, "v2", sysexts=[sysext(work, "tools")])
    output = drive(
        work, v2, BOTH, version(work, "v3"), BOTH, f"sh rm {work}/tools-*.raw", "rollback stage"
    )
    assert "refused servicing/manual-rollback what it needs is gone" in " ".join(output)
    assert ends(output)[-1] == "rollback provisioned None volume-a stay left []"
    assert rows(work)[-1].last_error is not None


def test_a_rollback_that_is_not_healthy_stays_with_the_newer_system(work: Path) -> None:
    v2 = version(work, "v2", netplan=netplan("192.0.2.2/24"), checks=check("test ! -e /etc/sick"))
    v3 = version(work, "v3", netplan=netplan("192.0.2.3/24"))
    output = drive(work, v2, BOTH, v3, BOTH, "sh touch /etc/sick", "rollback stage,finalize")
    assert "refused health-checks/health-checks-failed" in " ".join(output)
    assert ends(output)[-1] == "rollback provisioned None volume-a stay left []"
    assert "192.0.2.3/24" in applied(work)
    assert "192.0.2.3/24" in str(rows(work)[-1].spec.os.netplan)


def test_each_kind_of_rollback_can_be_asked_for(work: Path) -> None:
    """v1 on A; v2 on B; v3, in place. --ab goes past v3; --runtime is refused when v2 is next."""
    os = {"additionalFiles": [{"destination": "/etc/motd", "content": "v2\n"}]}
    source = {"url": f"file://{work}/image.cosi", "sha384": "ignored"}
    v2 = configure(work, "v2", image=source, os=os)
    cycle = (v2, BOTH, "power-on", "commit", "rollback-runtime stage")
    v3 = ("add-netplan 192.0.2.3/24", BOTH)
    output = drive(work, *cycle, *v3, "check", "rollback-ab stage", "check")
    text = "\n".join(output)
    assert "refused invalid-input/invalid-rollback-expectation the next rollback is of the" in text
    assert "next runtime" in output, text
    assert ends(output)[-2] == "rollback-ab manual-rollback-ab-staged None volume-b stay left []"


def test_an_extension_goes_into_the_new_root_of_an_ab_update(work: Path) -> None:
    source = {"url": f"file://{work}/image.cosi", "sha384": "ignored"}
    tools = sysext(work, "tools")
    v2 = version(work, "v2", sysexts=[tools])
    v3 = configure(work, "v3", image=source, os={"sysexts": [tools]})
    gone = f"sh rm {work}/tools-*.raw"
    output = drive(work, v2, BOTH, v3, gone, BOTH, "power-on", "commit", "check")
    assert "next ab" in output, "\n".join(output)
    assert "tools.raw" in listing(work, "root-b", "/var/lib/extensions")
    assert ".staging" not in listing(work, "root-b", "/var/lib/extensions")
    wants = listing(work, "root-b", "/etc/systemd/system/sysinit.target.wants")
    assert "systemd-sysext.service" in wants
    assert str(rows(work)[-1].spec.os.sysexts[0].path) == "/var/lib/extensions/tools.raw"
