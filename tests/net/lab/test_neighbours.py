"""What else stands in a rack, asked from inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.linux.run import find, run
from lab import neighbours, network, waiting
from tests.kit.tools import unavailable

pytestmark = pytest.mark.net


def curl(rack: network.Rack, *words: str) -> str:
    argv = ["curl", "-sS", "--max-time", "5", "--retry", "5", "--retry-connrefused", *words]
    return run(rack.inside(argv)).stdout


@pytest.mark.parametrize(("ranges", "status"), [(True, "206"), (False, "200")])
def test_the_mirror_serves_files_with_or_without_ranges(
    tmp_path: Path, ranges: bool, status: str
) -> None:
    if find("nginx") is None:
        unavailable("nginx is not installed")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "image.cosi").write_bytes(b"0123456789")
    with (
        network.rack() as rack,
        neighbours.mirror(rack, tmp_path, tmp_path / "files", ranges=ranges),
    ):
        url = f"{neighbours.mirror_url()}/image.cosi"
        said = curl(rack, "-r", "2-3", "-o", "/dev/null", "-w", "%{http_code}", url)
        assert said == status


def test_the_foreign_dhcp_server_gives_an_address_and_no_boot_file(tmp_path: Path) -> None:
    log = tmp_path / "foreign-dhcp.log"
    with network.rack() as rack, neighbours.foreign_dhcp(rack, tmp_path):
        waiting.until(
            lambda: log.exists() and "DHCP, IP range" in log.read_text(), limit_s=10, what="dnsmasq"
        )
        argv = ["udhcpc", "-i", "br0", "-n", "-q", "-f", "-t", "3", "-T", "2", "-s", "/bin/true"]
        said = run(rack.inside(argv), merge_stderr=True).stdout
    assert "10.77.0.2" in said
    assert "obtained" in said
