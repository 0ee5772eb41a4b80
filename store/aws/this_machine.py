"""Detect whether this machine is an EC2 instance, and which.

The firmware is checked first, so that other machines send no network request.
Source: "Identify EC2 instances" and "Instance metadata service" of the EC2 user guide.
"""

import http.client
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from msgspec import Struct

from spawn.store.aws.metadata import ENDPOINT, Metadata
from spawn.store.files import flush_to_disk, read_small

_VENDOR = Path("/sys/class/dmi/id/sys_vendor")
_XEN = Path("/sys/hypervisor/uuid")
"""Older instance types, such as t2, run on Xen and do not name EC2 as the vendor."""
_MACHINE_ID = Path("/etc/machine-id")
_DOCUMENT = "/latest/dynamic/instance-identity/document"
_SECONDS = 2.0
_PAUSES = (0.0, 0.3, 1.0)
"""Pause before each try. Retries matter: a runner that mistakes its own instance for another
machine would wait for its own lease."""


class Instance(Struct, frozen=True):
    """This machine. Off EC2, `instance_id` is `local` and `region` is None."""

    instance_id: str = "local"
    region: str | None = None

    @property
    def on_ec2(self) -> bool:
        """Whether this is an EC2 instance."""
        return self.instance_id != "local"


def detect_instance(environ: Mapping[str, str]) -> Instance:
    """Identify this machine. If the metadata service does not answer, it counts as off EC2."""
    endpoint = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return Instance()
    if endpoint is None and not is_ec2_hardware():
        return Instance()
    for pause in _PAUSES:
        time.sleep(pause)
        with suppress(OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            document = json.loads(metadata(environ).read(_DOCUMENT) or b"")
            return Instance(document["instanceId"], document["region"])
    return Instance()


def metadata(environ: Mapping[str, str]) -> Metadata:
    """Return a client of the metadata service; use it only on EC2."""
    return Metadata(environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ENDPOINT, _SECONDS)


def machine_id(instance: Instance, state: Path) -> str:
    """Return an id of this machine and its state folder, as a hash.

    A runner with the same id as the lease's owner need not wait for the lease to expire. The
    hostname is not part of it, because it may change.

    Raises:
        OSError: The machine has no id, and none can be stored in the folder.
    """
    machine = instance.instance_id if instance.on_ec2 else _machine_id() or _stored_id(state)
    return sha256(os.fsencode(f"{machine}\0{state}")).hexdigest()[:32]


def _machine_id() -> str:
    """Return the machine id, which is empty in many containers. Source: machine-id(5)."""
    found = _text(_MACHINE_ID)
    return "" if found == "uninitialized" else found


def _stored_id(state: Path) -> str:
    """Return the id in the state folder; create it if it does not exist."""
    kept = state / "machine-id"
    if not kept.exists():
        part = state / f".machine-id.{os.getpid()}"
        part.write_text(token_hex(16))
        flush_to_disk(part)
        with suppress(FileExistsError):  # another runner was first
            os.link(part, kept)
        part.unlink()
        flush_to_disk(state)
    return read_small(kept).decode("ascii", "replace")


def is_ec2_hardware() -> bool:
    """Whether the firmware identifies EC2, regardless of the environment."""
    return _text(_VENDOR) == "Amazon EC2" or _text(_XEN).lower().startswith("ec2")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
