"""The bucket: made where it is missing, with public access blocked and everything encrypted."""

import os
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from botocore.exceptions import ClientError
from msgspec import structs

from spawn.store.objects.asking import OWNER, expect
from spawn.store.objects.aws import account, code_of, connect, errors, on_aws
from spawn.store.objects.encryption import default
from spawn.store.objects.port import Denied
from spawn.store.objects.redact import redact
from spawn.store.place import Place

_HOME = "us-east-1"
"""The one region that must not be named when a bucket is made there."""
_BLOCKS = ("IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
"""What is set everywhere. With `BlockPublicAcls`, which AWS has as well, Ceph 16 refuses every PUT;
ACLs that are ignored open nothing either."""


def ensure_bucket(place: Place, say: Callable[[str], None], *, chosen: bool = True) -> Place:
    """See that a place's bucket is there and ours, or make it.

    Args:
        say: Told when something is made.
        chosen: Whether a person named the bucket: else another one may stand for it, when a
            stranger has its name.

    Returns:
        The place, with the bucket that it is in.

    Raises:
        Denied: It is a stranger's, or may not be made.
        Unavailable: It cannot be asked for.
    """
    place, there = find_bucket(place, say, chosen=chosen)
    if there:
        return place
    assert place.bucket is not None
    with errors(place.location, place.bucket):
        client = connect("s3", place.region, place.profile)
        if _make(client, place.bucket, say) is _Found.OURS:
            return place
        own = _another(place, client, _owner(place, client), say, chosen=chosen)
    return ensure_bucket(own, say)


def find_bucket(
    place: Place, say: Callable[[str], None], *, chosen: bool = True
) -> tuple[Place, bool]:
    """Find the bucket of a place, and say whether it is there; nothing is made.

    Args and errors are those of `ensure_bucket`.
    """
    assert place.bucket is not None
    with errors(place.location, place.bucket):
        client = connect("s3", place.region, place.profile)
        owner = _owner(place, client)
        found = _look(client, place.bucket, f"{place.prefix}/", owner)
        lent = os.environ.get(OWNER)
        if found is _Found.MISSING and lent:
            raise Denied(
                f"there is no bucket {place.bucket}",
                why=f"{OWNER} says that it is account {lent}'s",
                hint="that account makes it; --bucket names another",
            )
        if found is not _Found.REFUSED:
            return place, found is _Found.OURS
        own = _another(place, client, owner, say, chosen=chosen)
    return find_bucket(own, say)


def _owner(place: Place, client: Any) -> str | None:
    """The account that the bucket must belong to; None where nobody would check it."""
    lent = os.environ.get(OWNER)
    return lent or (account(place.region, place.profile) if on_aws(client) else None)


def _another(
    place: Place, client: Any, owner: str | None, say: Callable[[str], None], *, chosen: bool
) -> Place:
    """The bucket that stands for one which refuses us."""
    if chosen or os.environ.get(OWNER):
        raise Denied(
            f"the bucket {place.bucket} refuses us",
            why="it is a stranger's, or we lack the right to use it",
            hint="--bucket names another; docs/iam-policies.md has what is needed",
        )
    owner = owner or account(place.region, place.profile)
    own = structs.replace(place, bucket=f"spawn-results-{owner}-{client.meta.region_name}")
    say(f"the bucket {place.bucket} refuses us as a stranger's; {own.bucket} stands for it")
    return own


class _Found(Enum):
    OURS = auto()
    MISSING = auto()
    REFUSED = auto()


def _look(client: Any, bucket: str, prefix: str, owner: str | None) -> _Found:
    """Ask for a bucket. By a list: the errors of a HEAD have no body, so that credentials that
    are wrong or have expired would look like a stranger's bucket. Of the queue's own prefix: it may
    be all that we may see."""
    whose = {"ExpectedBucketOwner": owner} if owner else {}
    try:
        found = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1, **whose)
    except ClientError as error:
        if code_of(error) == "NoSuchBucket":
            return _Found.MISSING
        if code_of(error) == "AccessDenied":
            return _Found.REFUSED
        raise
    expect("list_objects_v2", found)
    return _Found.OURS


def _make(client: Any, bucket: str, say: Callable[[str], None]) -> _Found:
    region = client.meta.region_name
    where = {} if region == _HOME else {"LocationConstraint": region}
    options = {"CreateBucketConfiguration": where} if where else {}
    try:
        client.create_bucket(Bucket=bucket, **options)
    except ClientError as error:
        if code_of(error) == "BucketAlreadyExists":
            return _Found.REFUSED
        if code_of(error) == "BucketAlreadyOwnedByYou":
            return _Found.OURS  # another queue made it meanwhile
        raise
    blocks = [*_BLOCKS, *(["BlockPublicAcls"] if on_aws(client) else [])]
    rule = {"ApplyServerSideEncryptionByDefault": default(os.environ)}
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
        say(f"made the bucket {bucket}; it takes no settings there: {redact(str(error))}")
    else:
        say(f"made the bucket {bucket} in {region}: public access blocked, encrypted")
    return _Found.OURS
