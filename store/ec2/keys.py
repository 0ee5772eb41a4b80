"""The key that lets its owner in: made here, its public half known to EC2."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.launch.names import key_pair
from spawn.store.ec2.errors import asking
from spawn.store.ec2.ours import TAGS, expect_ours
from spawn.store.ec2.session import Aws
from spawn.store.files import read_small
from spawn.store.objects.aws import code_of

_NONE = "InvalidKeyPair.NotFound"


class Key(Struct, frozen=True):
    """A key pair of EC2's. `there`: whether EC2 has it; `file` is the private half, where it is
    ours."""

    name: str
    there: bool = False
    file: Path | None = None
    public: bytes = b""


def named(aws: Aws, name: str) -> Key:
    """See that a key pair that somebody named is there.

    Raises:
        InvalidArgument: It is not.
        StoreError: EC2 cannot be asked.
    """
    if _look(aws, name) is None:
        raise InvalidArgument(
            f"{aws.region} has no key pair {name}",
            hint="--key-name names one of this region; without it one is made",
        )
    return Key(name, there=True)


def ours(aws: Aws, file: Path) -> Key:
    """Look for our own key here and at EC2; nothing is made.

    Raises:
        SpawnError: The file is there and cannot be read.
        Denied: Somebody else's pair has its name.
        StoreError: EC2 cannot be asked.
    """
    public = _public(file)
    if not public:
        return Key("", file=file)
    name = key_pair(public)
    tags = _look(aws, name)
    if tags is not None:
        expect_ours(f"key pair {name}", tags, "--key-name")
    return Key(name, there=tags is not None, file=file, public=public)


def make(aws: Aws, key: Key) -> Key:
    """Make the private key where there is none, and tell EC2 the public one.

    Raises:
        SpawnError: It cannot be written.
        StoreError: EC2 may not be told.
    """
    assert key.file is not None
    if not key.public:
        _generate(key.file)
        key = ours(aws, key.file)
    if key.there:
        return key
    with asking("ec2:ImportKeyPair", "make a key pair", aws.region):
        try:
            aws.client("ec2").import_key_pair(
                KeyName=key.name,
                PublicKeyMaterial=key.public,
                TagSpecifications=[{"ResourceType": "key-pair", "Tags": TAGS}],
            )
        except ClientError as error:
            if code_of(error) != "InvalidKeyPair.Duplicate":
                raise  # else another launch was first, with the same key: its name says so
    return Key(key.name, there=True, file=key.file, public=key.public)


def _look(aws: Aws, name: str) -> list[dict[str, str]] | None:
    """The tags of a key pair; None where there is none."""
    with asking("ec2:DescribeKeyPairs", "look for a key pair", aws.region):
        try:
            found = aws.client("ec2").describe_key_pairs(KeyNames=[name])["KeyPairs"]
        except ClientError as error:
            if code_of(error) != _NONE:
                raise
            return None
    return found[0].get("Tags", []) if found else None


def _public(file: Path) -> bytes:
    """The public half, as OpenSSH writes it; empty where there is no private key."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_ssh_private_key,
    )

    try:
        data = read_small(file, follow=True)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise SpawnError(f"{file} cannot be read", why=error.strerror or "") from None
    try:
        key = load_ssh_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise SpawnError(
            f"{file} is no key that can be used",
            why=str(error),
            hint="move it away, and a new one is made; --key-name names another",
        ) from None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def _generate(file: Path) -> None:
    """Make a key. Whole or not at all, and nobody's key is ever written over."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    data = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    part = file.with_name(f".{file.name}.{token_hex(4)}.part")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            with suppress(FileExistsError):  # another launch was first: its key is ours too
                os.link(part, file)
        finally:
            part.unlink()
    except OSError as error:
        raise SpawnError(
            f"the key {file} cannot be made",
            why=error.strerror or str(error),
            hint="XDG_CONFIG_HOME names another folder; --key-name names a key pair of yours",
        ) from None
