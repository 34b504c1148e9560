"""Installation media of a rack's machines, made by `trident-iso` as an operator would make them."""

from __future__ import annotations

from pathlib import Path

import yaml

from agent.linux.run import run
from lab import artifacts, placeholders, qemu, scenario
from lab.server import BASE_URL
from lab.session import Bench, Session

_LATER = (scenario.MediumConfiguration.CUSTOMIZED, scenario.MediumConfiguration.FORGED)
_MARK = "lab.customized"
"""The kernel argument that a medium of the boot server is customized with."""
_STICK_KIB = 8192
_STICK_LABEL = "TRIDENT-CFG"


def image(home: Path) -> Path:
    """Where the medium of the machine in `home` will be."""
    return home / "medium.iso"


def base(folder: Path) -> Path:
    """Where the medium will be that the boot server makes every machine's own of."""
    return folder / "medium.iso"


def from_server(spec: scenario.Machine) -> bool:
    """Whether the machine's drive reads what the boot server makes."""
    return spec.medium is not None and spec.medium.source is scenario.MediumFrom.SERVER


def inserted(spec: scenario.Machine, home: Path) -> qemu.Medium | None:
    """What QEMU is told of the machine's medium, if it has one."""
    if spec.medium is None:
        return None
    if from_server(spec):
        name = spec.mac.replace(":", "-")
        return qemu.Medium(f"{BASE_URL}/iso/{name}.iso", spec.medium.bus)
    return qemu.Medium(image(home), spec.medium.bus)


def stick(spec: scenario.Medium | None, home: Path) -> tuple[qemu.Disk, ...]:
    """The stick with the Host Configuration, if there is to be one."""
    if spec is None or spec.configuration is not scenario.MediumConfiguration.STICK:
        return ()
    return (qemu.Disk(home / "stick.raw", "STICK", qemu.Bus.USB),)


def create(session: Session, bench: Bench, home: Path) -> None:
    """Make the medium of a machine, and its stick. Images come from the served folder.

    The boot server's own medium is made once, for the first machine that reads it.
    """
    spec = bench.spec.medium
    if spec is None:
        return
    signing = _signing(home) if spec.signed else []
    if from_server(bench.spec):
        if not base(home.parent).exists():
            artifacts.iso(*_build(session, bench, spec, base(home.parent)), *signing)
            _customize(spec, base(home.parent), ["--kernel-arg", _MARK], signing)
        return
    configuration = home / "medium.yaml"
    content = session.host_configuration(bench.spec, bench.spec.host_configuration)
    configuration.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    words = [*_build(session, bench, spec, image(home)), *signing]
    if spec.configuration is scenario.MediumConfiguration.EMBEDDED:
        words += ["--config", str(configuration)]
    artifacts.iso(*words)
    _customize(spec, image(home), ["--config", str(configuration)], signing)
    if spec.configuration is scenario.MediumConfiguration.STICK:
        _write_stick(home / "stick.raw", configuration)


def _customize(spec: scenario.Medium, target: Path, change: list[str], signing: list[str]) -> None:
    """Change the finished medium, if it is to be changed."""
    if spec.configuration in _LATER:
        forged = spec.configuration is scenario.MediumConfiguration.FORGED
        words = ["customize", str(target), "--output", str(target), *change]
        artifacts.iso(*words, *([] if forged else signing))


def _build(session: Session, bench: Bench, spec: scenario.Medium, target: Path) -> list[str]:
    options = placeholders.fill(spec.options, session.values(bench.spec))
    words = ["iso", "--output", str(target), *options]
    for name in spec.images:
        words += ["--image", str(session.files / f"{name}.cosi")]
    return words


def _signing(home: Path) -> list[str]:
    key = home / "site.key"
    artifacts.iso("key", "generate", "--output", str(key))
    return ["--key", str(key)]


def _write_stick(target: Path, configuration: Path) -> None:
    run(["mkfs.vfat", "-n", _STICK_LABEL, "-C", target, str(_STICK_KIB)])
    run(["mcopy", "-i", target, configuration, "::config.yaml"])
