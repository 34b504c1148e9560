"""What extension images mean for an installation: refused early, planned with their sizes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import HostStatus, ServicingType
from agent.cosi import metadata, reader
from agent.cosi.reader import CosiImage
from agent.cosi.source import open_source
from agent.engine import plan
from agent.engine.context import Context
from agent.engine.subsystem import Phase
from agent.subsystems.extensions.subsystem import Extensions, systemd_version
from tests.unit.cosi.images import cosi_bytes

DATA = b"an extension image"
SHA384 = hashlib.sha384(DATA).hexdigest()


def configuration(**os: Any) -> HostConfiguration:
    return HostConfiguration.model_validate_json(json.dumps({"os": os}))


def entry(work: Path) -> dict[str, str]:
    (work / "x.raw").write_bytes(DATA)
    return {"url": f"file://{work}/x.raw", "sha384": SHA384}


def test_the_plan_of_an_installation_fetches_places_and_enables(tmp_path: Path) -> None:
    subsystem = Extensions()
    context = Context(configuration(sysexts=[entry(tmp_path)]), ServicingType.CLEAN_INSTALL)
    subsystem.validate(context)
    planned = plan.build("install", [subsystem], context, stage=True, finalize=True)
    assert [step.phase for step in planned.steps] == [Phase.PROVISION, Phase.CONFIGURE]
    text = planned.to_text()
    assert f"fetch   file://{tmp_path}/x.raw (18 B)" in text
    assert "write   /var/lib/extensions/NAME.raw" in text
    assert "change  systemd-sysext.service: enabled" in text


def test_an_image_that_cannot_be_had_is_refused_before_anything_else(tmp_path: Path) -> None:
    gone = {"url": f"file://{tmp_path}/gone.raw", "sha384": SHA384}
    context = Context(configuration(sysexts=[gone]), ServicingType.CLEAN_INSTALL)
    with pytest.raises(TridentError) as caught:
        Extensions().validate(context)
    assert caught.value.identifier == "invalid-input/load-extension-image"
    assert "gone.raw cannot be had" in caught.value.message


@pytest.mark.parametrize(
    ("packages", "version"),
    [
        (None, None),
        ([], None),
        ([{"name": "systemd", "version": "252.39-1~deb12u2"}], 252),
        ([{"name": "systemd-boot", "version": "257"}, {"name": "systemd", "version": "257"}], 257),
        ([{"name": "systemd", "version": "git"}], None),
    ],
)
def test_the_systemd_of_an_image_is_in_its_list_of_packages(
    tmp_path: Path, packages: list[dict[str, str]] | None, version: int | None
) -> None:
    assert systemd_version(with_packages(tmp_path, packages).metadata) == version


def with_packages(work: Path, packages: list[dict[str, str]] | None) -> CosiImage:
    """An image that says it holds these packages."""
    path = work / "image.cosi"
    path.write_bytes(cosi_bytes())
    with open_source(f"file://{path}") as source:
        found = reader.open_image(source, None)
    plain = json.loads(metadata.dump(found.metadata)) | {"osPackages": packages}
    changed = metadata.CosiMetadata.model_validate_json(json.dumps(plain))
    return replace(found, metadata=changed)


@pytest.mark.parametrize(
    ("section", "version", "refused"),
    [
        ("confexts", "252.39-1~deb12u2", True),
        ("confexts", "257.7-1", False),
        ("sysexts", "252.39-1~deb12u2", False),
        ("sysexts", "247.3-7", True),
    ],
)
def test_an_image_whose_systemd_is_too_old_is_refused_by_its_list_of_packages(
    tmp_path: Path, section: str, version: str, refused: bool
) -> None:
    image = with_packages(tmp_path, [{"name": "systemd", "version": version}])
    context = Context(
        configuration(**{section: [entry(tmp_path)]}), ServicingType.CLEAN_INSTALL, image=image
    )
    if not refused:
        Extensions().validate(context)
        return
    with pytest.raises(TridentError) as caught:
        Extensions().validate(context)
    assert caught.value.code == "unsupported-configuration"
    assert f"the image has no systemd-{section[:-1]}" in caught.value.message
    assert "x.raw cannot be used (it has systemd " in caught.value.message


def test_a_runtime_update_without_changed_images_does_nothing() -> None:
    given = configuration(sysexts=[{"url": "f:x", "sha384": SHA384, "path": "/x.raw"}])
    context = Context(given, ServicingType.RUNTIME_UPDATE, HostStatus(spec=given))
    assert Extensions().finalize(context) == ()
