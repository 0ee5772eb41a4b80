"""Where a queue is looked up in S3: options, its local log, the remembered place, the environment,
the region's bucket."""

import os
from pathlib import Path

import pytest
from tests.cli import samples

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.queue_location import find_place, load_place, save_place
from spawn.core.errors import InvalidArgument
from spawn.store.objects.location import StoreLocation
from spawn.store.queue_dir.paths import Roots

ID = samples.QUEUE_ID
LOGGED = StoreLocation(bucket="spawn-results-us-east-1", prefix=ID)
ONCE = StoreLocation(bucket="once", prefix="runs/once", region="eu-west-1", profile="team")


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roots:
    """A machine without environment variables for a place."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return Roots(tmp_path / "state", tmp_path / "log", tmp_path / "cache")


def _logged(roots: Roots) -> None:
    folder = roots.queue(ID).folder
    folder.mkdir(parents=True)
    samples.training().write(folder / "events.db")


def test_options_take_precedence(roots: Roots) -> None:
    typed = LocationFlags(bucket="typed", prefix="/runs/7/", region="eu-north-1", profile="me")
    expected = StoreLocation(bucket="typed", prefix="runs/7", region="eu-north-1", profile="me")
    assert find_place(roots, ID, typed).place == expected
    save_place(roots, ID, ONCE)
    assert find_place(roots, ID, typed).place == expected
    _logged(roots)
    assert find_place(roots, ID, typed).place == expected


def test_the_local_log_takes_precedence_over_the_remembered_place(roots: Roots) -> None:
    default = LocationFlags(bucket="default", prefix="default", place_typed=False)
    assert find_place(roots, ID, default).place == StoreLocation(bucket="default", prefix="default")
    save_place(roots, ID, ONCE)
    assert find_place(roots, ID, LocationFlags()).place == ONCE
    assert find_place(roots, ID, default).place == ONCE
    assert find_place(roots, ID, LocationFlags(bucket="once")).place == ONCE
    assert find_place(roots, ID, LocationFlags(bucket="other")).place == StoreLocation(
        bucket="other", prefix=ID
    )
    _logged(roots)
    for where in (LocationFlags(), default, LocationFlags(bucket=LOGGED.bucket)):
        found = find_place(roots, ID, where)
        assert (found.place.bucket, found.place.prefix) == (LOGGED.bucket, LOGGED.prefix)
        assert not found.guessed


def test_the_regions_bucket_is_the_last_resort(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_place(roots, ID, LocationFlags(region="eu-west-1"))
    expected = StoreLocation(bucket="spawn-results-eu-west-1", prefix=ID, region="eu-west-1")
    assert (found.place, found.guessed) == (expected, True)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert find_place(roots, ID, LocationFlags()) == found
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(InvalidArgument, match=r"the bucket of queue .* is not known"):
        find_place(roots, ID, LocationFlags())


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"\xff", b'{"bucket":7}', b'{"prefix":"x"}', b'{"x":' + b"[" * 100_000],
    ids=range(7),
)
def test_a_damaged_remembered_place_is_ignored(roots: Roots, data: bytes) -> None:
    save_place(roots, ID, ONCE)
    (path,) = (roots.cache / "places").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(data)
    assert load_place(roots, ID) is None
    save_place(roots, ID, ONCE)
    assert load_place(roots, ID) == ONCE
    assert list((roots.cache / "places").iterdir()) == [path]


def test_folders_are_not_remembered_and_an_unwritable_cache_is_ignored(
    roots: Roots,
) -> None:
    save_place(roots, ID, StoreLocation(prefix="/somewhere"))
    assert not os.path.lexists(roots.cache)
    roots.cache.write_text("")
    save_place(roots, ID, ONCE)
    assert load_place(roots, ID) is None
