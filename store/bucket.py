"""The bucket: made where it is missing, with public access blocked and everything encrypted."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from msgspec import structs

from spawn.store.objects.aws import account, connect, errors, on_aws
from spawn.store.objects.port import Denied
from spawn.store.place import Place

_HOME = "us-east-1"
"""The one region that must not be named when a bucket is made there."""


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
    assert place.bucket is not None
    with errors(place.location, place.bucket):
        client = connect("s3", place.region, place.profile)
        owner = account(place.region, place.profile) if on_aws(client) else None
        found = _look(client, place.bucket, owner)
        if found == 404:
            _make(client, place.bucket, say)
        elif found == 403 and not chosen:
            owner = owner or account(place.region, place.profile)
            region = client.meta.region_name
            own = structs.replace(place, bucket=f"spawn-results-{owner}-{region}")
            say(f"the bucket {place.bucket} is a stranger's; {own.bucket} stands for it")
            return ensure_bucket(own, say)
        elif found == 403:
            raise Denied(
                f"the bucket {place.bucket} refuses us",
                why="it is a stranger's, or we lack the right to use it",
                hint="--bucket names another; docs/iam-policies.md has what is needed",
            )
    return place


def _look(client: Any, bucket: str, owner: str | None) -> int:
    """The status that asking for a bucket ends in: 200, 403, 404."""
    try:
        client.head_bucket(Bucket=bucket, **({"ExpectedBucketOwner": owner} if owner else {}))
    except ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if status in (403, 404):
            return status
        raise
    return 200


def _make(client: Any, bucket: str, say: Callable[[str], None]) -> None:
    region = client.meta.region_name
    where = {} if region == _HOME else {"LocationConstraint": region}
    client.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": where} if where else {}))
    say(f"made the bucket {bucket} in {region}: public access blocked, encrypted")
    blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    try:
        client.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True)
        )
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        client.put_bucket_encryption(
            Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]}
        )
    except ClientError as error:
        if on_aws(client):
            raise
        say(f"{bucket} takes no settings here: {error}")
