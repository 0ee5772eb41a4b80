"""Locations of log and results as users write them."""

from pathlib import Path

import pytest

from spawn.store.objects.folder import FolderStore
from spawn.store.objects.location import StoreLocation, open_place, parse_s3_uri


@pytest.mark.parametrize("prefix", ["nightly", "team a/nightly", "odd?x=1#y", "a//b", "ü+%41"])
def test_a_location_is_parsed_as_it_was_formatted(prefix: str) -> None:
    place = StoreLocation(bucket="results.Of-us", prefix=prefix)
    assert parse_s3_uri(place.location) == ("results.Of-us", prefix)


@pytest.mark.parametrize(
    "location", ["", "s3://", "s3:///p/", "/var/lib/objects/q/", "http://b/p/"]
)
def test_other_text_is_not_a_place_in_a_bucket(location: str) -> None:
    assert parse_s3_uri(location) is None


def test_a_bucket_alone_is_a_place() -> None:
    assert parse_s3_uri("s3://b") == parse_s3_uri("s3://b/") == ("b", "")


def test_a_place_without_a_bucket_is_a_folder(tmp_path: Path) -> None:
    store = open_place(StoreLocation(prefix="a/b"), tmp_path)
    assert isinstance(store, FolderStore)
    assert store.location == f"{tmp_path}/a/b/"
    assert StoreLocation(prefix="a/b").location == ""


def test_a_store_has_the_same_location_as_its_place(tmp_path: Path) -> None:
    place = StoreLocation(bucket="b", prefix="q", region="eu-west-1")
    assert open_place(place, tmp_path).location == place.location
