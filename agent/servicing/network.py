"""`start-network`: gives the servicing system the network that the Host Configuration asks for."""

from __future__ import annotations

import logging
from pathlib import Path

from agent.api.hostconfig import HostConfiguration
from agent.api.osconfig import Netplan
from agent.linux import netplan as netplan_tool
from agent.linux import tools
from agent.servicing.operation import require_root
from agent.subsystems import network

log = logging.getLogger(__name__)


def choose(configuration: HostConfiguration) -> Netplan | None:
    """managementOs.netplan, else os.netplan; None leaves the network as it is. Pure."""
    return configuration.management_os.netplan or configuration.os.netplan


def start(configuration: HostConfiguration) -> bool:
    """Apply the chosen netplan to the running system; whether there was one to apply."""
    chosen = choose(configuration)
    if chosen is None:
        log.info("the Host Configuration sets no netplan: the network stays as it is")
        return False
    require_root()
    tools.check(["netplan"])
    network.write(chosen, Path("/"))
    netplan_tool.apply()
    return True
