"""What a queue's log says of the machine that it runs on."""

import os
from pathlib import Path

from spawn import __version__
from spawn.core.events import QueueResumed, QueueStarted
from spawn.store.files import read_small
from spawn.store.identity import boot_id, hostname, owner
from spawn.store.instance import Instance

_HOST_KEYS = Path("/etc/ssh")
_MOST_BYTES = 8192
"""Of a host key: RSA of 16,384 bits has 3 kB."""


def ownership(
    kind: type[QueueStarted] | type[QueueResumed],
    results_location: str,
    *,
    instance: Instance,
    place: str,
    region: str | None,
    fence: bool,
) -> QueueStarted:
    """Describe this process as the owner of a queue.

    Args:
        place: A name for this machine and the folder.
        region: Of the bucket, or of this instance.
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
        return read_small(path, _MOST_BYTES, follow=True).decode("utf-8", "replace").strip()
    except OSError:
        return ""
