"""The location of a queue's log and results: a bucket, or a folder of this machine."""

from pathlib import Path

from msgspec import Struct

from spawn.store.objects.folder import FolderStore
from spawn.store.objects.interface import ObjectStore


class StoreLocation(Struct, frozen=True, kw_only=True):
    """A location in an object store. Without a bucket, it is a folder below `objects`."""

    prefix: str
    bucket: str | None = None
    region: str | None = None
    profile: str | None = None

    @property
    def location(self) -> str:
        """The location as an `s3://` URI with a trailing slash; empty for a folder."""
        return f"s3://{self.bucket}/{self.prefix}/" if self.bucket else ""


def parse_s3_uri(location: str) -> tuple[str, str] | None:
    """Split `s3://bucket/prefix/` into bucket and prefix; None for anything else."""
    scheme, _, rest = location.partition("://")  # not urlsplit: keys may contain `?` and `#`
    bucket, _, prefix = rest.partition("/")
    return (bucket, prefix.strip("/")) if scheme == "s3" and bucket else None


def open_place(place: StoreLocation, objects: Path) -> ObjectStore:
    """Open the store of a place; sends no request.

    Args:
        objects: Parent folder of places without a bucket.
    """
    if place.bucket is None:
        return FolderStore(objects / place.prefix)
    from spawn.store.objects.s3 import S3Store  # boto3 costs 180 ms to import

    return S3Store(
        bucket=place.bucket, prefix=place.prefix, region=place.region, profile=place.profile
    )
