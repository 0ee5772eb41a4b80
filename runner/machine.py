"""Describes this machine in a queue's opening event."""

import os
from pathlib import Path

from spawn import __version__
from spawn.core.events import QueueResumed, QueueStarted
from spawn.store.files import read_small
from spawn.store.identity import boot_id, hostname, owner
from spawn.store.instance import Instance

_HOST_KEYS = Path("/etc/ssh")
_MAX_BYTES = 8192
"""Largest host key file to read: an RSA key of 16,384 bits has 3 kB."""


def ownership(
    kind: type[QueueStarted] | type[QueueResumed],
    results_location: str,
    *,
    instance: Instance,
    place: str,
    region: str | None,
    fence: bool,
) -> QueueStarted:
    """Build the opening event with this process as the queue's owner.

    Args:
        place: Identifies this machine and the state folder.
        region: Region of the bucket, or of this instance.
        fence: Whether the object store honours conditional writes.
    """
    return kind(
        instance_id=instance.instance_id,
        place=place,
        region=region,
        fence=fence,
        hostname=hostname(),
        boot_id=boot_id(),
        version=__version__,
        owner=owner(),
        pid=os.getpid(),
        results_location=results_location,
        ssh_host_keys=tuple(_read(path) for path in sorted(_HOST_KEYS.glob("ssh_host_*_key.pub"))),
    )


def _read(path: Path) -> str:
    try:
        return read_small(path, _MAX_BYTES, follow=True).decode("utf-8", "replace").strip()
    except OSError:
        return ""
