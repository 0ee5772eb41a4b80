"""Where a queue is looked up in S3: options, its local log, the remembered place, the environment,
the region's bucket."""

import os
from pathlib import Path

import pytest
from tests.cli import samples

from spawn.cli.flags import Where
from spawn.cli.sources.queue_location import place_of, recall, remember
from spawn.core.errors import InvalidArgument
from spawn.store.objects.location import Place
from spawn.store.queue_dir.paths import Roots

ID = samples.QUEUE_ID
LOGGED = Place(bucket="spawn-results-us-east-1", prefix=ID)
ONCE = Place(bucket="once", prefix="runs/once", region="eu-west-1", profile="team")


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
    typed = Where(bucket="typed", prefix="/runs/7/", region="eu-north-1", profile="me")
    expected = Place(bucket="typed", prefix="runs/7", region="eu-north-1", profile="me")
    assert place_of(roots, ID, typed).place == expected
    remember(roots, ID, ONCE)
    assert place_of(roots, ID, typed).place == expected
    _logged(roots)
    assert place_of(roots, ID, typed).place == expected


def test_the_local_log_takes_precedence_over_the_remembered_place(roots: Roots) -> None:
    default = Where(bucket="default", prefix="default", typed=False)
    assert place_of(roots, ID, default).place == Place(bucket="default", prefix="default")
    remember(roots, ID, ONCE)
    assert place_of(roots, ID, Where()).place == ONCE
    assert place_of(roots, ID, default).place == ONCE
    assert place_of(roots, ID, Where(bucket="once")).place == ONCE
    assert place_of(roots, ID, Where(bucket="other")).place == Place(bucket="other", prefix=ID)
    _logged(roots)
    for where in (Where(), default, Where(bucket=LOGGED.bucket)):
        found = place_of(roots, ID, where)
        assert (found.place.bucket, found.place.prefix) == (LOGGED.bucket, LOGGED.prefix)
        assert not found.guessed


def test_the_regions_bucket_is_the_last_resort(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = place_of(roots, ID, Where(region="eu-west-1"))
    expected = Place(bucket="spawn-results-eu-west-1", prefix=ID, region="eu-west-1")
    assert (found.place, found.guessed) == (expected, True)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert place_of(roots, ID, Where()) == found
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(InvalidArgument, match=r"the bucket of queue .* is not known"):
        place_of(roots, ID, Where())


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"\xff", b'{"bucket":7}', b'{"prefix":"x"}', b'{"x":' + b"[" * 100_000],
    ids=range(7),
)
def test_a_damaged_remembered_place_is_ignored(roots: Roots, data: bytes) -> None:
    remember(roots, ID, ONCE)
    (path,) = (roots.cache / "places").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(data)
    assert recall(roots, ID) is None
    remember(roots, ID, ONCE)
    assert recall(roots, ID) == ONCE
    assert list((roots.cache / "places").iterdir()) == [path]


def test_folders_are_not_remembered_and_an_unwritable_cache_is_ignored(
    roots: Roots,
) -> None:
    remember(roots, ID, Place(prefix="/somewhere"))
    assert not os.path.lexists(roots.cache)
    roots.cache.write_text("")
    remember(roots, ID, ONCE)
    assert recall(roots, ID) is None
