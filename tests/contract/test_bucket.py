"""A missing bucket is created; a bucket of another account is never used by accident."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from tests.support.answers import (
    Answer,
    RecordedRequest,
    RecordingServer,
    answering,
    error,
    forward,
)
from tests.support.s3 import CREDENTIALS, Server, free_port

from spawn.store.aws import bucket as module
from spawn.store.aws.bucket import ensure_bucket
from spawn.store.objects.interface import AccessDenied, Unavailable
from spawn.store.objects.location import StoreLocation

ACCOUNT = "123456789012"
"""The account id of every moto client."""


@pytest.fixture
def aws(moto_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server whose buckets support all settings; the environment names it."""
    for name, value in moto_server.environ.items():
        monkeypatch.setenv(name, value)
    return moto_server


@contextmanager
def strangers(
    server: Server, monkeypatch: pytest.MonkeyPatch, **answers: Answer
) -> Iterator[RecordingServer]:
    """The same server with other answers to some bucket requests: moto lets every account use every
    bucket.

    Args:
        answers: By method and bucket, `GET_bucket`.
    """

    def answer(asked: RecordedRequest) -> Answer:
        said = answers.get(f"{asked.method}_{asked.path.split('/')[1].replace('-', '_')}")
        return said or forward(server, asked)

    with answering(answer) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.endpoint)
        yield front


def _name() -> str:
    return f"spawn-{uuid4()}"


def _place(bucket: str, region: str | None = None) -> StoreLocation:
    return StoreLocation(bucket=bucket, prefix="q", region=region)


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_missing_bucket_is_created_in_its_region_private_and_encrypted(
    aws: Server, monkeypatch: pytest.MonkeyPatch, region: str, real: bool
) -> None:
    monkeypatch.setattr(module, "on_aws", lambda _: real)
    said: list[str] = []
    place = _place(_name(), region)
    assert ensure_bucket(place, said.append) == place
    client = aws.client()
    bucket = place.bucket
    home = client.get_bucket_location(Bucket=bucket)["LocationConstraint"]
    assert home == (None if region == "us-east-1" else region)
    block = client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert {name for name, is_on in block.items() if is_on} == {
        *("IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"),
        *(["BlockPublicAcls"] if real else []),
    }
    (rule,) = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"][
        "Rules"
    ]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert said == [f"Created bucket {bucket} in {region}: public access blocked, encrypted"]


def test_an_existing_bucket_is_unchanged(aws: Server) -> None:
    said: list[str] = []
    place = _place(_name(), "us-east-1")
    client = aws.client()
    client.create_bucket(Bucket=place.bucket)
    assert ensure_bucket(place, said.append) == place
    assert said == []
    with pytest.raises(client.exceptions.ClientError, match="NoSuchPublicAccessBlock"):
        client.get_public_access_block(Bucket=place.bucket)


def test_a_bucket_created_concurrently_by_this_account_is_used(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    meanwhile = error(409, "BucketAlreadyOwnedByYou")
    with strangers(aws, monkeypatch, PUT_raced=meanwhile):
        place = _place("raced", "eu-central-1")
        assert ensure_bucket(place, said.append) == place
    assert said == []


@pytest.mark.parametrize("seen", ["GET", "PUT"])
def test_when_another_account_has_the_default_name_the_accounts_own_name_is_used(
    aws: Server, monkeypatch: pytest.MonkeyPatch, seen: str
) -> None:
    said: list[str] = []
    own = f"spawn-results-{ACCOUNT}-eu-west-1"
    theirs = {
        "GET_usual": error(403, "AccessDenied"),
        "PUT_usual": error(409, "BucketAlreadyExists"),
    }
    with strangers(aws, monkeypatch, **{f"{seen}_usual": theirs[f"{seen}_usual"]}):
        place = ensure_bucket(_place("usual", "eu-west-1"), said.append, chosen=False)
        assert place == _place(own, "eu-west-1")
        assert f"usual denied access; using {own}" in said[0]
        again: list[str] = []
        assert ensure_bucket(_place("usual", "eu-west-1"), again.append, chosen=False) == place
        assert again == said[:1]
    aws.client().head_bucket(Bucket=own)
    aws.client().delete_bucket(Bucket=own)


def test_access_denied_to_a_named_bucket_is_an_error(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with (
        strangers(aws, monkeypatch, GET_theirs=error(403, "AccessDenied")) as front,
        pytest.raises(AccessDenied, match="another account") as raised,
    ):
        ensure_bucket(_place("theirs", "us-east-1"), said.append)
    assert "--bucket" in raised.value.hint
    assert said == []
    assert [asked.method for asked in front.asked] == ["GET"]


def test_access_denied_to_both_default_names_is_an_error(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    no = error(403, "AccessDenied")
    with (
        strangers(aws, monkeypatch, GET_usual=no, GET_spawn_results_123456789012_us_east_1=no),
        pytest.raises(AccessDenied, match=f"spawn-results-{ACCOUNT}-us-east-1"),
    ):
        ensure_bucket(_place("usual", "us-east-1"), lambda _: None, chosen=False)


def test_requests_to_another_accounts_bucket_name_the_expected_owner(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "on_aws", lambda _: True)
    monkeypatch.setenv("SPAWN_BUCKET_OWNER", "111122223333")
    name = _name()
    with strangers(aws, monkeypatch) as front:
        with pytest.raises(AccessDenied, match="111122223333"):
            ensure_bucket(_place(name, "us-east-1"), lambda _: None)
        aws.client().create_bucket(Bucket=name)
        ensure_bucket(_place(name, "us-east-1"), lambda _: None)
    assert [asked.method for asked in front.asked] == ["GET", "GET"], "no request to STS"
    assert all("prefix=q%2F" in asked.query for asked in front.asked), (
        "access may be limited to the prefix"
    )
    said = {asked.headers["x-amz-expected-bucket-owner"] for asked in front.asked}
    assert said == {"111122223333"}


def test_a_denied_bucket_of_another_account_has_no_fallback(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAWN_BUCKET_OWNER", "111122223333")
    with (
        strangers(aws, monkeypatch, GET_usual=error(403, "AccessDenied")),
        pytest.raises(AccessDenied, match="denied access"),
    ):
        ensure_bucket(_place("usual", "us-east-1"), lambda _: None, chosen=False)


def test_a_created_bucket_has_the_configured_encryption(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAWN_SSE", "aws:kms")
    monkeypatch.setenv("SPAWN_SSE_KMS_KEY_ID", "alias/queues")
    name = _name()
    ensure_bucket(_place(name, "us-east-1"), lambda _: None)
    found = aws.client().get_bucket_encryption(Bucket=name)
    (rule,) = found["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": "alias/queues",
    }


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        (403, "InvalidAccessKeyId", AccessDenied),
        (403, "SignatureDoesNotMatch", AccessDenied),
        (400, "ExpiredToken", Unavailable),
        (503, "SlowDown", Unavailable),
    ],
)
def test_credential_errors_are_not_mistaken_for_another_accounts_bucket(
    aws: Server,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    raised: type[Exception],
) -> None:
    with (
        strangers(aws, monkeypatch, GET_usual=error(status, code)) as front,
        pytest.raises(raised, match=code),
    ):
        ensure_bucket(_place("usual", "us-east-1"), lambda _: None, chosen=False)
    assert len(front.asked) == 1


def test_a_denied_bucket_creation_is_an_error(aws: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        strangers(aws, monkeypatch, PUT_new=error(403, "AccessDenied")),
        pytest.raises(AccessDenied, match="AccessDenied"),
    ):
        ensure_bucket(_place("new", "us-east-1"), lambda _: None)


def test_a_server_without_bucket_settings_gives_only_a_warning(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: RecordedRequest) -> Answer:
        if asked.query in ("publicAccessBlock", "encryption"):
            return error(501, "NotImplemented")
        return forward(aws, asked)

    said: list[str] = []
    name = _name()
    with answering(answer) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.endpoint)
        ensure_bucket(_place(name, "us-east-1"), said.append)
    (text,) = said
    assert text.startswith(f"Created bucket {name} with default settings")


def test_a_missing_server_or_missing_credentials_are_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable):
        ensure_bucket(_place("b", "us-east-1"), lambda _: None)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied, match="credentials"):
        ensure_bucket(_place("b", "us-east-1"), lambda _: None)
