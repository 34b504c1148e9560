"""Host Configurations: completed for the machine, refused with every finding."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agent.api.errors import TridentError
from bootserver.configuration import Place, check, complete, local_image
from tests.kit.bootserver import HOST_CONFIGURATION, MAC

PLACE = Place("10.77.0.1:8080", Path("/srv/files"))
REPORTS = f"http://10.77.0.1:8080/v1/hosts/{MAC}"


def test_the_servers_address_and_report_urls_are_filled_in() -> None:
    done = yaml.safe_load(complete(HOST_CONFIGURATION, MAC, PLACE))
    assert done["image"]["url"] == "http://10.77.0.1:8080/files/os.cosi"
    assert done["trident"] == {
        "phonehome": f"{REPORTS}/phonehome",
        "logstream": f"{REPORTS}/logstream",
    }
    assert done["storage"] == yaml.safe_load(HOST_CONFIGURATION)["storage"]


def test_report_urls_of_its_own_are_kept() -> None:
    text = HOST_CONFIGURATION + (
        "trident:\n  phonehome: http://NETLAUNCH_HOST_ADDRESS/phonehome\n  logstream: null\n"
        "  datastorePath: /var/lib/x.sqlite\n"
    )
    done = yaml.safe_load(complete(text, MAC, PLACE))["trident"]
    assert done == {
        "phonehome": "http://10.77.0.1:8080/phonehome",
        "logstream": f"{REPORTS}/logstream",
        "datastorePath": "/var/lib/x.sqlite",
    }


def test_what_is_handed_out_is_still_a_right_host_configuration() -> None:
    assert check(complete(HOST_CONFIGURATION, MAC, PLACE), PLACE).errors == ()


def test_text_that_is_no_yaml_is_an_error_not_a_crash() -> None:
    with pytest.raises(TridentError):
        complete("a: [", MAC, PLACE)
    assert len(check("a: [", PLACE).errors) == 1
    assert len(check("", PLACE).errors) == 1
    assert len(check("- x", PLACE).errors) == 1


def test_every_mistake_is_found_with_its_line() -> None:
    text = HOST_CONFIGURATION.replace("type: esp", "typ: esp").replace("size: 1G", "size: -1")
    errors = check(text, PLACE).errors
    assert len(errors) == 2
    assert all(error.startswith("line ") for error in errors)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://10.77.0.1:8080/files/os.cosi", Path("/srv/files/os.cosi")),
        ("http://10.77.0.1:8080/files//a%20b/os.cosi", Path("/srv/files/a b/os.cosi")),
        ("http://10.77.0.1:8080/files/../secret", None),
        ("http://10.77.0.1:8080/files/%2e%2e/secret", None),
        ("http://10.77.0.1:8080/artifacts/vmlinuz", None),
        ("http://10.77.0.1/files/os.cosi", None),
        ("https://10.77.0.1:8080/files/os.cosi", None),
        ("file:///files/os.cosi", None),
    ],
)
def test_only_our_own_files_are_local(url: str, path: Path | None) -> None:
    assert local_image(url, PLACE) == path
