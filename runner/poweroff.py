"""Powers off this machine. EC2 then stops or terminates the instance, as set at its launch."""

import os
import subprocess

from spawn.store.instance import Instance, is_ec2_hardware
from spawn.store.programs import find

SECONDS = 60.0
"""Timeout for systemd to accept the command."""
_SYSTEM = ("/bin/", "/sbin/", "/usr/", "/lib/", "/opt/", "/snap/", "/nix/")


def power_off(instance: Instance) -> str:
    """Power off the machine cleanly, by the `systemctl` on PATH.

    The system's own `systemctl` is used only on EC2 hardware: environment variables can fake a
    metadata service, and must not switch off another machine.

    Returns:
        Why that is not possible; empty if the machine is being powered off.
    """
    program = find("systemctl")
    if program is None:
        return "there is no systemctl on PATH"
    if not instance.on_ec2:
        return "this machine is not an EC2 instance"
    if not is_ec2_hardware() and os.path.realpath(program).startswith(_SYSTEM):
        return "this machine is not EC2 hardware"
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
