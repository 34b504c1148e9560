"""The agent's own settings: `/etc/trident/trident.conf`, lines `Key=value`, one key so far.

Upstream's format: blank lines and lines with `#` are skipped, white space is trimmed, the last
line of a key wins, a missing file means the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import DEFAULT_DATASTORE

CONFIGURATION = Path("/etc/trident/trident.conf")
_KEY = "DatastorePath"


@dataclass(frozen=True)
class Settings:
    """What the file says."""

    datastore: Path = Path(DEFAULT_DATASTORE)


def parse(text: str) -> Settings:
    """Settings from the file's text. Raises invalid-input/image-bad-agent-configuration."""
    settings = Settings()
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        key, separator, value = (part.strip() for part in content.partition("="))
        if not separator or key != _KEY:
            raise _bad(f"line {number}: expected '{_KEY}=/path', found '{key}'")
        if not value.startswith("/"):
            raise _bad(f"line {number}: {_KEY} must be an absolute path")
        settings = Settings(datastore=Path(value))
    return settings


def render(settings: Settings) -> str:
    """The file's text."""
    return f"{_KEY}={settings.datastore}\n"


def load(path: Path = CONFIGURATION) -> Settings:
    """The settings of this host."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(f"{path} could not be read: {error}") from error
    return parse(text)


def _bad(why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "image-bad-agent-configuration",
        f"{CONFIGURATION.name}: {why}",
        hint=f"correct {CONFIGURATION}",
    )
