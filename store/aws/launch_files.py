"""Delete the objects that a failed launch has uploaded for its instance."""

import os
from collections.abc import Sequence

from spawn.store.aws.errors import aws_errors
from spawn.store.aws.session import AwsSession
from spawn.store.objects.aws import create_client, on_aws
from spawn.store.objects.bucket_client import OWNER
from spawn.store.objects.location import StoreLocation


def delete_launch_files(
    aws: AwsSession, place: StoreLocation, launch_id: str, names: Sequence[str]
) -> None:
    """Delete the objects of one launch; missing objects are no error.

    Raises:
        StoreError: The request failed.
    """
    client = create_client("s3", place.region, place.profile)
    owner = os.environ.get(OWNER) or (aws.account if on_aws(client) else None)
    expected_owner = {"ExpectedBucketOwner": owner} if owner else {}
    with aws_errors("s3:DeleteObject", f"delete the launch files in {place.location}"):
        for name in names:
            key = f"{place.prefix}/_spawn/boot/{launch_id}/{name}"
            client.delete_object(Bucket=place.bucket, Key=key, **expected_owner)
