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
from urllib.parse import urlsplit

from msgspec import Struct

_VENDOR = Path("/sys/class/dmi/id/sys_vendor")
_XEN = Path("/sys/hypervisor/uuid")
"""Older instance types, t2 among them, run on Xen, and say so instead of whose they are."""
_MACHINE_ID = Path("/etc/machine-id")
_ENDPOINT = "http://169.254.169.254"
_DOCUMENT = "/latest/dynamic/instance-identity/document"
_SECONDS = 2
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
    if endpoint is None and not _of_ec2():
        return Instance()
    for pause in _PAUSES:
        time.sleep(pause)
        with suppress(OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            document = json.loads(_ask(endpoint or _ENDPOINT))
            return Instance(document["instanceId"], document["region"])
    return Instance()


def place(instance: Instance, state: Path) -> str:
    """Name this machine and the folder that its queues are in: who comes from the same one needs
    no wait. Neither path nor machine id is told."""
    machine = instance.instance_id if instance.on_ec2 else _text(_MACHINE_ID) or os.uname().nodename
    return sha256(f"{machine}\0{state}".encode()).hexdigest()[:32]


def _of_ec2() -> bool:
    return _text(_VENDOR) == "Amazon EC2" or _text(_XEN).lower().startswith("ec2")


def _ask(endpoint: str) -> bytes:
    address = urlsplit(endpoint)
    connection = http.client.HTTPConnection(address.netloc, timeout=_SECONDS)
    try:
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = _answer(connection, "PUT", "/latest/api/token", ttl).decode()
        return _answer(connection, "GET", _DOCUMENT, {"X-aws-ec2-metadata-token": token})
    finally:
        connection.close()


def _answer(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]
) -> bytes:
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise http.client.HTTPException(f"{path}: {response.status}")
    return body


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
