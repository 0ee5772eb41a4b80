"""The SSH key pair of an instance: generated on this machine and imported into EC2."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import InvalidArgument, SpawnError
from spawn.store.aws.errors import aws_errors
from spawn.store.aws.resource_names import key_pair_name
from spawn.store.aws.session import TAGS, AwsSession, require_tag
from spawn.store.files import read_small
from spawn.store.objects.aws import error_code

_NOT_FOUND = "InvalidKeyPair.NotFound"


class Key(Struct, frozen=True):
    """A key pair. `there`: whether EC2 has it. `file`: spawn's private key; None for the user's."""

    name: str
    exists: bool = False
    file: Path | None = None
    public: bytes = b""


def find_named_key(aws: AwsSession, name: str) -> Key:
    """Check that the user's key pair exists.

    Raises:
        InvalidArgument: The region has no such key pair.
        StoreError: The request failed.
    """
    if _find_tags(aws, name) is None:
        raise InvalidArgument(
            f"{aws.region} has no key pair {name}",
            hint="use a --key-name of this region, or omit it to create a key pair",
        )
    return Key(name, exists=True)


def find_own_key(aws: AwsSession, file: Path) -> Key:
    """Find spawn's key on this machine and in EC2; creates nothing.

    Raises:
        SpawnError: The file exists and cannot be read.
        Denied: The key pair in EC2 lacks spawn's tag.
        StoreError: The request failed.
    """
    public = _public_key(file)
    if not public:
        return Key("", file=file)
    name = key_pair_name(public)
    tags = _find_tags(aws, name)
    if tags is not None:
        require_tag(f"key pair {name}", tags, "--key-name")
    return Key(name, exists=tags is not None, file=file, public=public)


def create_key(aws: AwsSession, key: Key) -> Key:
    """Generate the private key if it does not exist, and import the public key into EC2.

    Raises:
        SpawnError: The key cannot be written.
        StoreError: The import failed.
    """
    assert key.file is not None
    if not key.public:
        _generate(key.file)
        key = find_own_key(aws, key.file)
    if key.exists:
        return key
    with aws_errors("ec2:ImportKeyPair", "create a key pair", aws.region):
        try:
            aws.client("ec2").import_key_pair(
                KeyName=key.name,
                PublicKeyMaterial=key.public,
                TagSpecifications=[{"ResourceType": "key-pair", "Tags": TAGS}],
            )
        except ClientError as error:
            if error_code(error) != "InvalidKeyPair.Duplicate":
                raise  # a duplicate is the same key, because its name is a hash of the key
    return Key(key.name, exists=True, file=key.file, public=key.public)


def _find_tags(aws: AwsSession, name: str) -> list[dict[str, str]] | None:
    """Return the tags of a key pair; None if it does not exist."""
    with aws_errors("ec2:DescribeKeyPairs", "find a key pair", aws.region):
        try:
            found = aws.client("ec2").describe_key_pairs(KeyNames=[name])["KeyPairs"]
        except ClientError as error:
            if error_code(error) != _NOT_FOUND:
                raise
            return None
    return found[0].get("Tags", []) if found else None


def _public_key(file: Path) -> bytes:
    """Return the public key in OpenSSH's format; empty if there is no private key."""
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
            f"{file} is not a usable private key",
            why=str(error),
            hint="move it away to create a new one, or use your own key pair with --key-name",
        ) from None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def _generate(file: Path) -> None:
    """Create a private key atomically; never replaces an existing file."""
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
            with suppress(FileExistsError):  # another launch created the key: use that one
                os.link(part, file)
        finally:
            part.unlink()
    except OSError as error:
        raise SpawnError(
            f"the key {file} cannot be created",
            why=error.strerror or str(error),
            hint="set XDG_CONFIG_HOME to another folder, or use your own key pair with --key-name",
        ) from None
