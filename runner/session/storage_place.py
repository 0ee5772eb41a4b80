"""Chooses where a queue's log and results are stored."""

import os
from pathlib import Path

from spawn.core.domain.state import QueueState
from spawn.core.errors import InvalidArgument
from spawn.runner.runner_process import RunRequest
from spawn.store.aws.this_machine import Instance
from spawn.store.log import read
from spawn.store.objects.location import StoreLocation, parse_s3_uri


def choose_place(order: RunRequest, state: QueueState | None, instance: Instance) -> StoreLocation:
    """The log's place, else the order's, the configuration's, or on EC2 the region's bucket.

    Args:
        state: State of the local log; None without a log.

    Raises:
        InvalidArgument: The order resumes from S3, and no bucket is known.
    """
    config = order.config if state is None else state.config
    prefix = (config and config.result_s3_prefix) or order.queue_id
    bucket = order.bucket or (config and config.result_s3_bucket) or None
    region = order.region or instance.region
    if state is not None and state.owner is not None and not (order.from_s3 and order.bucket):
        bucket, prefix = parse_s3_uri(state.owner.results_location) or (None, prefix)
        region = order.region or state.owner.region
    else:
        prefix = order.prefix or prefix
        if order.no_s3:
            bucket = None
        elif bucket is None and region and (instance.on_ec2 or order.from_s3):
            bucket = f"spawn-results-{region}"
    if bucket is None and order.from_s3 and not order.no_s3:
        raise InvalidArgument(
            f"the bucket of queue {order.queue_id} is not known",
            hint="specify --bucket, or --region for the bucket spawn-results-<region>",
        )
    return StoreLocation(
        bucket=bucket, prefix=prefix.strip("/"), region=region, profile=order.profile
    )


def place_of_copy(order: RunRequest, log: Path, instance: Instance, objects: Path) -> StoreLocation:
    """The place of a damaged log's copy: the order's, else as far as it can be read the log's, or
    the one that the last runner noted.

    Args:
        objects: Folder of the places that are not in a bucket.

    Raises:
        InvalidArgument: The order resumes from S3, and no bucket is known.
    """
    noted = read.copy_location(log)
    if noted is None or (order.from_s3 and order.bucket):
        return choose_place(order, None, instance)
    location, region = noted
    bucket, prefix = parse_s3_uri(location) or (None, os.path.relpath(location, objects))
    region = order.region or region or instance.region
    return StoreLocation(bucket=bucket, prefix=prefix, region=region, profile=order.profile)
