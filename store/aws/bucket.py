"""Find or create the bucket; a new bucket blocks public access and encrypts its objects."""

import os
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from botocore.exceptions import ClientError
from msgspec import structs

from spawn.store.objects.aws import (
    caller_account,
    create_client,
    error_code,
    on_aws,
    translate_errors,
)
from spawn.store.objects.bucket_client import OWNER, validate_response
from spawn.store.objects.encryption import bucket_encryption
from spawn.store.objects.interface import AccessDenied
from spawn.store.objects.location import StoreLocation
from spawn.store.objects.redact import redact

_HOME = "us-east-1"
"""The only region that must not be sent as a `LocationConstraint`."""
_BLOCKS = ("IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
"""Settings for every store. `BlockPublicAcls` is set only on AWS, because Ceph 16 then rejects
every PUT; ignored ACLs give no access either."""


def ensure_bucket(
    place: StoreLocation, say: Callable[[str], None], *, chosen: bool = True
) -> StoreLocation:
    """Ensure that a place's bucket exists and is accessible; create it if it does not exist.

    Args:
        say: Receives a message when a bucket is created or replaced by another.
        chosen: Whether the user named the bucket. If not, and another account owns the name, a
            bucket with the account id in its name is used instead.

    Returns:
        The place with the bucket that is used.

    Raises:
        Denied: The bucket belongs to another account, or may not be created.
        Unavailable: The store does not answer.
    """
    place, exists = find_bucket(place, say, chosen=chosen)
    if exists:
        return place
    assert place.bucket is not None
    with translate_errors(place.location, place.bucket):
        client = create_client("s3", place.region, place.profile)
        if _create(client, place.bucket, say) is _Access.GRANTED:
            return place
        other = _fallback(place, client, _owner(place, client), say, chosen=chosen)
    return ensure_bucket(other, say)


def find_bucket(
    place: StoreLocation, say: Callable[[str], None], *, chosen: bool = True
) -> tuple[StoreLocation, bool]:
    """Return the place with the bucket that is used, and whether it exists; creates nothing.

    Arguments and errors are those of `ensure_bucket`.
    """
    assert place.bucket is not None
    with translate_errors(place.location, place.bucket):
        client = create_client("s3", place.region, place.profile)
        owner = _owner(place, client)
        access = _check_access(client, place.bucket, f"{place.prefix}/", owner)
        expected = os.environ.get(OWNER)
        if access is _Access.MISSING and expected:
            raise AccessDenied(
                f"there is no bucket {place.bucket}",
                why=f"{OWNER} sets its owner to account {expected}",
                hint="create it in that account, or set another one with --bucket",
            )
        if access is not _Access.DENIED:
            return place, access is _Access.GRANTED
        other = _fallback(place, client, owner, say, chosen=chosen)
    return find_bucket(other, say)


def _owner(place: StoreLocation, client: Any) -> str | None:
    """Return the account that must own the bucket; None if the store would not check it."""
    expected = os.environ.get(OWNER)
    return expected or (caller_account(place.region, place.profile) if on_aws(client) else None)


def _fallback(
    place: StoreLocation,
    client: Any,
    owner: str | None,
    say: Callable[[str], None],
    *,
    chosen: bool,
) -> StoreLocation:
    """Return the place with this account's own bucket, if the user did not name the bucket."""
    if chosen or os.environ.get(OWNER):
        raise AccessDenied(
            f"bucket {place.bucket} denied access",
            why="it belongs to another account, or you lack the permissions",
            hint="set another one with --bucket; docs/iam-policies.md lists the permissions",
        )
    owner = owner or caller_account(place.region, place.profile)
    other = structs.replace(place, bucket=f"spawn-results-{owner}-{client.meta.region_name}")
    say(f"Bucket {place.bucket} denied access; using {other.bucket} instead")
    return other


class _Access(Enum):
    GRANTED = auto()
    MISSING = auto()
    DENIED = auto()


def _check_access(client: Any, bucket: str, prefix: str, owner: str | None) -> _Access:
    """Check access with a list request.

    HEAD errors have no body, so invalid or expired credentials would look like a denied bucket. The
    queue's prefix may be the only one that the policy allows.
    """
    expected_owner = {"ExpectedBucketOwner": owner} if owner else {}
    try:
        found = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1, **expected_owner)
    except ClientError as error:
        if error_code(error) == "NoSuchBucket":
            return _Access.MISSING
        if error_code(error) == "AccessDenied":
            return _Access.DENIED
        raise
    validate_response("list_objects_v2", found)
    return _Access.GRANTED


def _create(client: Any, bucket: str, say: Callable[[str], None]) -> _Access:
    region = client.meta.region_name
    where = {} if region == _HOME else {"LocationConstraint": region}
    options = {"CreateBucketConfiguration": where} if where else {}
    try:
        client.create_bucket(Bucket=bucket, **options)
    except ClientError as error:
        if error_code(error) == "BucketAlreadyExists":
            return _Access.DENIED
        if error_code(error) == "BucketAlreadyOwnedByYou":
            return _Access.GRANTED  # another queue created it in the meantime
        raise
    blocks = [*_BLOCKS, *(["BlockPublicAcls"] if on_aws(client) else [])]
    rule = {"ApplyServerSideEncryptionByDefault": bucket_encryption(os.environ)}
    try:
        client.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True)
        )
        client.put_bucket_encryption(
            Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]}
        )
    except ClientError as error:
        if on_aws(client):
            raise
        say(f"Created bucket {bucket} with default settings: {redact(str(error))}")
    else:
        say(f"Created bucket {bucket} in {region}: public access blocked, encrypted")
    return _Access.GRANTED
