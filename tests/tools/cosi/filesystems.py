"""Small real file systems with given files, made by the host's own tools without mounting any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.linux.run import run

Files = Mapping[str, bytes]
"""Content by path; a value that begins with `->` is a symbolic link."""
XFS_BYTES = 300 * 2**20
"""mkfs.xfs refuses less."""


def tree(folder: Path, content: Files) -> Path:
    """A directory with these files."""
    folder.mkdir()
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if data.startswith(b"->"):
            (folder / name).symlink_to(data[2:].decode())
        else:
            (folder / name).write_bytes(data)
    return folder


def sized(file: Path, size: int) -> Path:
    """An empty sparse file."""
    with file.open("wb") as out:
        out.truncate(size)
    return file


def ext(
    file: Path, content: Files, *, uuid: str | None = None, size: int = 8 << 20, features: str = ""
) -> Path:
    """An ext4 image."""
    options = ["-U", uuid] if uuid else []
    options += ["-O", features] if features else []
    source = tree(file.with_suffix(".tree"), content)
    run(["mkfs.ext4", "-q", "-F", *options, "-d", source, sized(file, size)])
    return file


def fat(
    file: Path, content: Files, *, volume_id: str | None = None, size: int = 4 << 20, bits: int = 0
) -> Path:
    """A FAT image; `bits` 0: as mkfs.vfat thinks best."""
    options = ["-i", volume_id.replace("-", "")] if volume_id else []
    options += ["-F", str(bits)] if bits else []
    run(["mkfs.vfat", *options, sized(file, size)])
    folders = {str(folder) for name in content for folder in Path(name).parents} - {"."}
    for folder in sorted(folders):
        run(["mmd", "-i", file, f"::/{folder}"])
    for name, data in content.items():
        source = file.with_suffix(".copy")
        source.write_bytes(data)
        run(["mcopy", "-i", file, source, f"::/{name}"])
    return file


def xfs(file: Path, content: Files, *, uuid: str | None = None) -> Path:
    """An XFS image, filled by a protofile."""
    source = tree(file.with_suffix(".tree"), content)
    proto = file.with_suffix(".proto")
    proto.write_text("/\n0 0\n" + "\n".join(_proto(source, "d--755 0 0")) + "\n")
    options = ["-m", f"uuid={uuid}"] if uuid else []
    run(["mkfs.xfs", "-q", "-f", *options, "-p", proto, sized(file, XFS_BYTES)])
    return file


def _proto(folder: Path, head: str) -> list[str]:
    lines = [head]
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            lines.append(f"{path.name} l--777 0 0 {path.readlink()}")
        elif path.is_dir():
            first, *rest = _proto(path, f"{path.name} d--755 0 0")
            lines += [first, *rest]
        else:
            lines.append(f"{path.name} ---644 0 0 {path}")
    return [*lines, "$"]
