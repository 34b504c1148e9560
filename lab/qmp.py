"""A client for QEMU's machine protocol (QMP): JSON lines over a Unix socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import TracebackType

from lab.errors import InfrastructureFailed

_TIMEOUT_S = 30.0


class Qmp:
    """One QMP connection. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_TIMEOUT_S)
        try:
            self._socket.connect(str(path))
            self._lines = self._socket.makefile("rb")
            self._read()
            self.execute("qmp_capabilities")
        except OSError as error:
            self._socket.close()
            raise InfrastructureFailed(f"no QMP at {path}: {error}") from error

    def __enter__(self) -> Qmp:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()
        self._socket.close()

    def execute(self, command: str, **arguments: object) -> object:
        """Run one command and return its result. Raises InfrastructureFailed."""
        request: dict[str, object] = {"execute": command}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self._read()
            if "error" in answer:
                raise InfrastructureFailed(f"QMP {command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def _read(self) -> dict[str, object]:
        line = self._lines.readline()
        if not line:
            raise InfrastructureFailed("QEMU closed its QMP socket")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise InfrastructureFailed(f"QMP sent {line!r}")
        return answer
