from __future__ import annotations

import json

import pytest

from agent.api.errors import TridentError
from agent.linux.qemu_img import ImageInfo, parse

PLAIN = {
    "virtual-size": 10485760,
    "filename": "a.qcow2",
    "format": "qcow2",
    "actual-size": 200704,
    "format-specific": {"type": "qcow2", "data": {"compat": "1.1", "corrupt": False}},
    "dirty-flag": False,
}


def test_what_qemu_img_tells_is_read() -> None:
    assert parse(json.dumps(PLAIN)) == ImageInfo("qcow2", 10485760)
    raw = {"virtual-size": 512, "filename": "a", "format": "raw", "dirty-flag": False}
    assert parse(json.dumps(raw)) == ImageInfo("raw", 512)


def test_an_image_that_needs_others_says_which() -> None:
    overlay = PLAIN | {"backing-filename": "base.img", "full-backing-filename": "/x/base.img"}
    assert parse(json.dumps(overlay)).backing_file == "base.img"
    split = PLAIN | {"format-specific": {"type": "qcow2", "data": {"data-file": "c.raw"}}}
    assert parse(json.dumps(split)).data_file == "c.raw"
    assert parse(json.dumps(PLAIN | {"encrypted": True})).encrypted


def test_other_output_is_an_error() -> None:
    with pytest.raises(TridentError, match="'virtual-size' is missing"):
        parse('{"format": "raw"}')
