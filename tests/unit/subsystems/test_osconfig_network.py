from __future__ import annotations

import json
from pathlib import Path

import yaml

from agent.api.hostconfig import HostConfiguration
from agent.api.osconfig import LoadMode, Module
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.subsystems import network, osconfig


def test_the_netplan_file_is_the_configured_body_below_network() -> None:
    body = {
        "version": 2,
        "ethernets": {"all": {"match": {"name": "en*"}, "dhcp4": True}},
        "dummy-devices": {"d0": {"addresses": ["10.0.0.1/24"]}},
    }
    configuration = HostConfiguration.model_validate_json(json.dumps({"os": {"netplan": body}}))
    assert configuration.os.netplan is not None
    assert yaml.safe_load(network.render(configuration.os.netplan)) == {"network": body}


def test_an_updated_system_is_the_host_it_was() -> None:
    def carried(document: dict[str, object], servicing: ServicingType) -> tuple[Path, ...]:
        configuration = HostConfiguration.model_validate_json(json.dumps(document))
        return osconfig.carried_over(Context(configuration, servicing))

    both = (osconfig.MACHINE_ID, osconfig.HOSTNAME)
    update = ServicingType.AB_UPDATE
    assert carried({}, update) == both
    assert carried({"os": {"hostname": "new"}}, update) == both[:1]
    assert carried({"internalParams": {"disableHostnameCarryOver": True}}, update) == both[:1]
    assert carried({}, ServicingType.CLEAN_INSTALL) == ()


def test_modules_are_loaded_allowed_disabled_and_given_options(tmp_path: Path) -> None:
    disabled = tmp_path / "etc/modprobe.d/modules-disabled.conf"
    disabled.parent.mkdir(parents=True)
    disabled.write_text("blacklist vfio\nblacklist pcspkr\n")
    modules = [
        Module(name="vfio", load_mode=LoadMode.ALWAYS, options={"enable_unsafe": "1"}),
        Module(name="pcspkr", load_mode=LoadMode.AUTO),
        Module(name="floppy", load_mode=LoadMode.DISABLE),
        Module(name="loop", options={"max_loop": "8"}),
    ]
    assert osconfig.module_files(tmp_path, modules) == {
        Path("etc/modprobe.d/modules-disabled.conf"): "blacklist floppy\n",
        Path("etc/modules-load.d/modules-load.conf"): "vfio\n",
        Path("etc/modprobe.d/module-options.conf"): (
            "options vfio enable_unsafe=1\noptions loop max_loop=8\n"
        ),
    }


def test_modules_that_are_what_they_should_be_change_no_file(tmp_path: Path) -> None:
    assert osconfig.module_files(tmp_path, [Module(name="loop")]) == {}
    assert osconfig.module_files(tmp_path, [Module(name="loop", load_mode=LoadMode.AUTO)]) == {}
