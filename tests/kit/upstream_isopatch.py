"""Upstream's placeholders by their description alone: a second implementation beside ours.

A 65-character magic word, `:`, the logical path, `:`, `#` up to a newline, somewhere in the bytes
of the image. It is searched from the front, once, without a look at the file system; the payload
takes its bytes, then a newline, `#` and a newline fill up to the old end.
"""

from __future__ import annotations

_HEX = b"0123456789abcdef"
_MAGIC_DIGITS = 64


def room(image: bytes, path: str) -> tuple[int, int]:
    """Offset and length, newline included, of the first placeholder of `path`; (-1, 0) for none."""
    tail = b":" + path.encode() + b":"
    at = image.find(tail)
    while at >= 0:
        start = at - _MAGIC_DIGITS - 1
        magic = image[max(start, 0) : at]
        if len(magic) == 65 and magic[:1] == b"#" and all(digit in _HEX for digit in magic[1:]):
            return start, image.index(b"\n", at) + 1 - start
        at = image.find(tail, at + 1)
    return -1, 0


def patched(image: bytes, path: str, payload: bytes) -> bytes:
    """The image with the payload in place of the placeholder."""
    offset, length = room(image, path)
    text = payload if payload.endswith(b"\n") else payload + b"\n"
    fill = length - len(text)
    assert offset >= 0
    assert fill >= 0
    text += b"#" * (fill - 1) + b"\n" if fill else b""
    return image[:offset] + text + image[offset + length :]
