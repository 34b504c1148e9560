"""Who may log in over SSH: the sshd configuration of a system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.api.osconfig import SshMode, User
from agent.linux import files
from agent.linux.run import run

CONFIG = Path("etc/ssh/sshd_config")
USERS = Path("etc/ssh/sshd_config.d/global_user.conf")
_UNITS = ("ssh.service", "sshd.service")
_UNIT_FOLDERS = (
    Path("etc/systemd/system"),
    Path("usr/lib/systemd/system"),
    Path("lib/systemd/system"),
)
_INCLUDE = "Include /etc/ssh/sshd_config.d/*.conf"
_ROOT_LOGIN = {
    SshMode.BLOCK: "no",
    SshMode.KEY_ONLY: "prohibit-password",
    SshMode.DANGEROUS_ALLOW_PASSWORD: "yes",
}


def users_text(users: Sequence[User], section: str) -> str:
    """The sshd configuration that holds `users` to their sshMode. Pure.

    `section` is the part of the Host Configuration that they are from.
    """
    lines = [f"# Written by Trident from {section} of the Host Configuration."]
    root = next((user for user in users if user.name == "root"), None)
    others = [user for user in users if user.name != "root"]
    if root is not None:
        lines.append(f"PermitRootLogin {_ROOT_LOGIN[root.ssh_mode]}")
    blocked = [user.name for user in others if user.ssh_mode is SshMode.BLOCK]
    if blocked:
        lines.append(f"DenyUsers {' '.join(blocked)}")
    for user in others:
        if user.ssh_mode is not SshMode.BLOCK:
            allowed = "yes" if user.ssh_mode is SshMode.DANGEROUS_ALLOW_PASSWORD else "no"
            lines += [
                f"Match User {user.name}",
                f"    PasswordAuthentication {allowed}",
                f"    KbdInteractiveAuthentication {allowed}",
            ]
    return "\n".join([*lines, "Match all"]) + "\n"


def with_include(config: str) -> str:
    """The text of sshd_config, reading the drop-in directory first. Pure; idempotent."""
    lines = (line.strip() for line in config.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return config if first == _INCLUDE else f"{_INCLUDE}\n{config}"


def configure(root: Path, users: Sequence[User], section: str) -> bool:
    """Hold `users` of the system below `root` to their sshMode; False when it has no sshd."""
    config = root / CONFIG
    if not config.exists():
        return False
    text = config.read_text()
    if with_include(text) != text:
        files.write(config, with_include(text), mode=config.stat().st_mode & 0o777)
    drop_in = root / USERS
    drop_in.parent.mkdir(mode=0o755, exist_ok=True)
    files.write(drop_in, users_text(users, section), mode=0o600)
    return True


def unit(root: Path) -> str | None:
    """The unit that runs sshd in the system below `root`: Debian's has a name of its own."""
    for name in _UNITS:
        if any((root / folder / name).exists() for folder in _UNIT_FOLDERS):
            return name
    return None


def restart(root: Path) -> None:
    """Have the running system's sshd read its configuration; makes host keys that are missing.

    `root` is `/`, or where a test has it. Raises command-failed.
    """
    run(["ssh-keygen", "-A"], chroot=root)
    run(["systemctl", "restart", unit(root) or _UNITS[0]], chroot=root)
