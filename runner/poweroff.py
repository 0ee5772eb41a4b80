"""Power this machine off. Whether its instance is stopped or terminated then, EC2 knows: the
launcher has told it what follows a shutdown."""

import os
import subprocess

from spawn.store.instance import Instance, is_ec2_hardware
from spawn.store.programs import find

SECONDS = 60.0
"""How long systemd may take to say that it will."""
_SYSTEM = ("/bin/", "/sbin/", "/usr/", "/lib/", "/opt/", "/snap/", "/nix/")


def power_off(instance: Instance) -> str:
    """Have systemd power the machine off, in good order.

    The program is found through PATH. Only on hardware of EC2 may that be the system's own: what
    the environment says of a metadata service is not enough to switch somebody's machine off.

    Returns:
        Why that is not possible; empty when it is under way.
    """
    program = find("systemctl")
    if program is None:
        return "there is no systemctl on PATH"
    if not instance.on_ec2:
        return "this machine is no EC2 instance"
    if not is_ec2_hardware() and os.path.realpath(program).startswith(_SYSTEM):
        return "this machine is no hardware of EC2"
    command = [program, "poweroff"]
    if os.geteuid() != 0:
        command = [find("sudo") or "/usr/bin/sudo", "-n", *command]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.strip() or f"exit code {done.returncode}"
    return "" if done.returncode == 0 else f"{' '.join(command)}: {said}"
