"""Installation media of single machines, over HTTP from the running server."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
import requests
import yaml

from agent.api import events
from agent.api.events import OperationDone
from agent.linux.run import run
from agent.medium import layout
from agent.medium.menu import Local
from agent.medium.state import State
from agent.trust import keys
from agent.trust.check import Problem
from iso_builder import verify
from iso_builder.medium import customize, embed, filesystem, mapping
from iso_builder.medium.build import Trust
from tests.kit.bootserver import HOST_CONFIGURATION, MAC, OTHER_MAC, BootServer
from tests.kit.medium import image_of, medium

DASHED = MAC.replace(":", "-")
ON_MEDIUM = yaml.safe_dump(
    {**yaml.safe_load(HOST_CONFIGURATION), "image": image_of(layout.image_url("os.cosi"))}
)


@pytest.fixture(name="server")
def server_with_a_medium(own_server: BootServer, tmp_path: Path) -> BootServer:
    base = medium(tmp_path, os_cosi="0" * 96)
    mapping.write(base, customize.read(base).built)
    path = own_server.settings_path
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "medium": base.name}))
    return own_server


def base_of(server: BootServer) -> Path:
    found = server.settings.medium
    assert found is not None
    return found


def get(server: BootServer, mac: str = DASHED, **headers: str) -> requests.Response:
    return requests.get(f"{server.url}/iso/{mac}.iso", headers=headers, timeout=30)


def state_of(answer: requests.Response, tmp_path: Path) -> State:
    path = tmp_path / "served.iso"
    path.write_bytes(answer.content)
    return customize.read(path)


def finish_install(server: BootServer) -> None:
    """What an agent reports when it has installed the machine."""
    assert requests.get(f"{server.url}/v1/hosts/{MAC}/config", timeout=10).status_code == 200
    done = OperationDone(
        run="run1",
        sequence=1,
        time="2026-01-01T00:00:00Z",
        operation="install",
        servicing_state="clean-install-finalized",
        reboot=True,
    )
    body = events.dump_json(done)
    sent = requests.post(f"{server.url}/v1/hosts/{MAC}/events", data=body, timeout=10)
    assert sent.status_code == 201


def test_it_is_what_customizing_the_base_would_make(server: BootServer, tmp_path: Path) -> None:
    server.declare()
    with server.serving():
        served = get(server)
        config = requests.get(f"{server.url}/v1/hosts/{MAC}/config?look", timeout=10)
    assert served.status_code == 200
    path, target = tmp_path / "complete.yaml", tmp_path / "customized.iso"
    path.write_bytes(config.content)
    order = customize.Order(
        (embed.Configuration(MAC, path),),
        (f"trident.server={server.url}", f"BOOTIF=01-{DASHED}"),
    )
    customize.customize(base_of(server), order, target)
    built, given = customize.read(target), state_of(served, tmp_path)
    assert given.files == built.files
    assert given.menu.unattended
    assert set(given.menu.arguments) - {"trident.dhcp"} == set(built.menu.arguments) - {
        "trident.dhcp"
    }


def test_the_digest_is_announced_before_and_is_that_of_what_comes(server: BootServer) -> None:
    server.declare()
    with server.serving():
        announced = server.machine()["iso"]
        shown = json.loads(server.command("hosts", "show", MAC).stdout)["iso"]
        served = get(server)
    found = hashlib.sha384(served.content)
    assert announced == shown
    assert announced["sha384"] == found.hexdigest()
    assert announced["size"] == len(served.content) == int(served.headers["Content-Length"])
    assert announced["installs"] is True
    assert announced["url"] == f"{server.url}/iso/{DASHED}.iso"
    digest = base64.b64encode(found.digest()).decode()
    assert served.headers["Repr-Digest"] == f"sha-384=:{digest}:"


def test_ranges_over_every_border_are_those_of_the_whole(server: BootServer) -> None:
    server.declare()
    with server.serving():
        whole = get(server).content
        places = [0, len(whole) - 1]
        for piece in mapping.write(base_of(server), customize.read(base_of(server)).built).pieces:
            places += [max(piece.offset - 1, 0), piece.offset]
        for start in sorted(set(places)):
            end = min(start + 5000, len(whole) - 1)
            answer = get(server, Range=f"bytes={start}-{end}")
            assert answer.status_code == 206
            assert answer.headers["Content-Range"] == f"bytes {start}-{end}/{len(whole)}"
            assert answer.content == whole[start : end + 1]
        beyond = get(server, Range=f"bytes={len(whole)}-")
        assert beyond.status_code == 416
        assert beyond.headers["Content-Range"] == f"bytes */{len(whole)}"


def test_head_tells_everything_and_sends_nothing(server: BootServer) -> None:
    server.declare()
    with server.serving():
        answer = requests.head(f"{server.url}/iso/{DASHED}.iso", timeout=30)
        same = get(server, **{"If-None-Match": answer.headers["ETag"]})
        old = get(server, **{"If-Range": '"old"', "Range": "bytes=0-9"})
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == base_of(server).stat().st_size
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.content == b""
    assert same.status_code == 304
    assert old.status_code == 200


@pytest.mark.parametrize("spelling", [MAC, MAC.upper(), DASHED, DASHED.upper()])
def test_the_machine_may_be_spelled_as_elsewhere(server: BootServer, spelling: str) -> None:
    server.declare()
    with server.serving():
        assert get(server, spelling, Range="bytes=0-0").status_code == 206
        doubled = requests.get(f"{server.url}//iso//{spelling}.iso", stream=True, timeout=30)
        assert doubled.status_code == 200
        doubled.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [(f"{OTHER_MAC}.iso", 404), ("nonsense.iso", 400), (MAC, 400), (f"x/{MAC}.iso", 400)],
)
def test_what_names_no_declared_machine_gets_no_image(
    server: BootServer, path: str, status: int
) -> None:
    with server.serving():
        answer = requests.get(f"{server.url}/iso/{path}", timeout=30)
        assert answer.status_code == status
        assert set(answer.json()) == {"error", "hint"}
        posted = requests.post(f"{server.url}/iso/{MAC}.iso", timeout=30)
        assert posted.status_code == 405


def test_an_installed_machine_boots_its_disk_until_a_reinstall_is_granted(
    server: BootServer, tmp_path: Path
) -> None:
    server.declare()
    with server.serving():
        before = get(server)
        finish_install(server)
        installed = get(server)
        announced = server.machine()["iso"]
        assert server.command("hosts", "reinstall", MAC).returncode == 0
        granted = get(server)
    state = state_of(installed, tmp_path)
    assert state.menu.local is Local.ANY
    assert state.files == {}
    assert b"set default=local" in installed.content
    assert announced["installs"] is False
    assert announced["sha384"] == hashlib.sha384(installed.content).hexdigest()
    assert installed.headers["ETag"] != before.headers["ETag"]
    assert granted.content == before.content


def test_an_image_that_is_not_on_the_medium_is_refused(server: BootServer) -> None:
    text = ON_MEDIUM.replace("os.cosi", "other.cosi")
    server.declare(text=text)
    with server.serving():
        answer = get(server)
        assert answer.status_code == 422
        assert "no image other.cosi" in answer.json()["error"]
        assert "other.cosi" in server.machine()["iso"]["problem"]
        server.declare(text=ON_MEDIUM)
        assert get(server).status_code == 200


def test_a_configuration_larger_than_the_place_is_refused_with_both_sizes(
    server: BootServer,
) -> None:
    document = yaml.safe_load(ON_MEDIUM)
    content = "x" * 1_047_000
    document["os"] = {"additionalFiles": [{"destination": "/etc/large", "content": content}]}
    server.declare(text=yaml.safe_dump(document))
    with server.serving():
        answer = get(server)
    assert answer.status_code == 422
    assert "has room for 1048576" in answer.json()["error"]


def test_a_damaged_base_is_not_served(server: BootServer) -> None:
    server.declare()
    with server.serving():
        with base_of(server).open("r+b") as stream:
            stream.seek(-1, 2)
            stream.write(b"!")
        answer = get(server)
        assert answer.status_code == 503
        assert "another SHA-384" in answer.json()["error"]
        assert "another SHA-384" in server.machine()["iso"]["problem"]


def test_a_new_base_takes_effect_and_its_digest_with_it(server: BootServer) -> None:
    server.declare()
    with server.serving():
        before = get(server)
        base = base_of(server)
        customize.customize(base, customize.Order(countdown_s=77), base)
        after = get(server)
        announced = server.machine()["iso"]
    assert after.headers["ETag"] != before.headers["ETag"]
    assert announced["sha384"] == hashlib.sha384(after.content).hexdigest()
    assert b"set timeout=77" in after.content


def test_without_a_readable_base_the_server_does_not_start(server: BootServer) -> None:
    base_of(server).unlink()
    answer = server.command("serve")
    assert answer.returncode == 1
    assert "medium-unavailable" in answer.stderr


def test_reading_is_in_the_timeline_and_looking_is_not(server: BootServer) -> None:
    server.declare()
    with server.serving():
        requests.head(f"{server.url}/iso/{DASHED}.iso", timeout=30)
        assert "iso" not in [one["event"] for one in server.machine()["timeline"]]
        get(server)
        assert "iso" in [one["event"] for one in server.machine()["timeline"]]
        assert server.machine()["address"] is None


def test_curl_goes_on_where_it_was_interrupted(server: BootServer, tmp_path: Path) -> None:
    server.declare()
    target = tmp_path / "got.iso"
    with server.serving():
        whole = get(server).content
        target.write_bytes(whole[:1_234_567])
        run(["curl", "-sSf", "-C", "-", "-o", target, f"{server.url}/iso/{DASHED}.iso"])
    assert target.read_bytes() == whole


def test_the_clients_check_looks_at_the_medium(server: BootServer) -> None:
    server.declare()
    with server.serving():
        assert f"{MAC} installation medium" in server.command("check").stdout


def test_what_described_earlier_changes_of_the_base_does_not_come_along(
    server: BootServer, tmp_path: Path
) -> None:
    """It would not fit, and a machine would take the medium for one that somebody tampered with."""
    base = base_of(server)
    customize.customize(base, customize.Order(countdown_s=77), base)
    server.declare()
    with server.serving():
        served = get(server)
    path = tmp_path / "served.iso"
    path.write_bytes(served.content)
    found = filesystem.places(path, [layout.CHANGES])[layout.CHANGES]
    assert not any(served.content[found.offset : found.offset + found.size])
    report = verify.verify(path, None)
    assert {one.problem for one in report.findings} == {Problem.UNDESCRIBED}


@pytest.mark.parametrize("allowed", [False, True])
def test_a_signed_base_must_allow_changes(
    server: BootServer, tmp_path: Path, allowed: bool
) -> None:
    base = medium(
        tmp_path, trust=Trust(keys.generate(), unsigned_changes=allowed), os_cosi="0" * 96
    )
    mapping.write(base, customize.read(base).built)
    server.declare()
    if not allowed:
        answer = server.command("serve")
        assert answer.returncode == 1
        assert "medium-takes-no-changes" in answer.stderr
        return
    with server.serving():
        assert get(server).status_code == 200
