"""Which EC2 instance this is, if it is one.

Off EC2 nothing is asked on any network: the firmware says whose machine it is.
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

from spawn.store.durable import sync
from spawn.store.files import read_small
from spawn.store.metadata import ENDPOINT, Metadata

_VENDOR = Path("/sys/class/dmi/id/sys_vendor")
_XEN = Path("/sys/hypervisor/uuid")
"""Older instance types, t2 among them, run on Xen, and say so instead of whose they are."""
_MACHINE_ID = Path("/etc/machine-id")
_DOCUMENT = "/latest/dynamic/instance-identity/document"
_SECONDS = 2.0
_PAUSES = (0.0, 0.3, 1.0)
"""Before each try: an instance that took itself for another machine would wait for itself."""


class Instance(Struct, frozen=True):
    """`instance_id` is `local` off EC2, and `region` None."""

    instance_id: str = "local"
    region: str | None = None

    @property
    def on_ec2(self) -> bool:
        """Whether this is an EC2 instance."""
        return self.instance_id != "local"


def instance(environ: Mapping[str, str]) -> Instance:
    """Say which instance this is. A metadata service that does not answer counts as none."""
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
    """The metadata service of this machine; to be asked on EC2 alone."""
    return Metadata(environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ENDPOINT, _SECONDS)


def place(instance: Instance, state: Path) -> str:
    """Name this machine and the folder that its queues are in: who comes from the same one needs
    no wait. Neither path nor machine id is told, and the hostname is no part of it: it may change.

    Raises:
        OSError: The machine has no id, and none can be kept in the folder.
    """
    machine = instance.instance_id if instance.on_ec2 else _machine_id() or _kept_id(state)
    return sha256(os.fsencode(f"{machine}\0{state}")).hexdigest()[:32]


def _machine_id() -> str:
    """Empty in many containers. Source: machine-id(5)."""
    found = _text(_MACHINE_ID)
    return "" if found == "uninitialized" else found


def _kept_id(state: Path) -> str:
    """An id of our own, made when it is first needed."""
    kept = state / "machine-id"
    if not kept.exists():
        part = state / f".machine-id.{os.getpid()}"
        part.write_text(token_hex(16))
        sync(part)
        with suppress(FileExistsError):  # another runner was first
            os.link(part, kept)
        part.unlink()
        sync(state)
    return read_small(kept).decode("ascii", "replace")


def is_ec2_hardware() -> bool:
    """Whether the firmware says that this machine is EC2's, whatever the environment says."""
    return _text(_VENDOR) == "Amazon EC2" or _text(_XEN).lower().startswith("ec2")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
