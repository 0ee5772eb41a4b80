"""The bucket is made where it is missing, and never a stranger's."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from tests.support.answers import Answer, Answering, Asked, answering, error, forward
from tests.support.s3 import CREDENTIALS, Server, free_port

from spawn.store import bucket as module
from spawn.store.bucket import ensure_bucket
from spawn.store.objects.port import Denied, Unavailable
from spawn.store.place import Place

ACCOUNT = "123456789012"
"""The account that everybody is to moto."""


@pytest.fixture
def aws(moto_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server whose buckets have all settings; the environment names it."""
    for name, value in moto_server.environ.items():
        monkeypatch.setenv(name, value)
    return moto_server


@contextmanager
def strangers(
    server: Server, monkeypatch: pytest.MonkeyPatch, **answers: Answer
) -> Iterator[Answering]:
    """The same server, where some requests for buckets are answered otherwise: moto lets everybody
    use every bucket.

    Args:
        answers: By method and bucket, `GET_bucket`.
    """

    def answer(asked: Asked) -> Answer:
        said = answers.get(f"{asked.method}_{asked.path.split('/')[1].replace('-', '_')}")
        return said or forward(server, asked)

    with answering(answer) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.endpoint)
        yield front


def _name() -> str:
    return f"spawn-{uuid4()}"


def _place(bucket: str, region: str | None = None) -> Place:
    return Place(bucket=bucket, prefix="q", region=region)


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_missing_bucket_is_made_in_its_region_closed_and_encrypted(
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


def test_a_bucket_that_is_there_is_left_as_it_is(aws: Server) -> None:
    said: list[str] = []
    place = _place(_name(), "us-east-1")
    client = aws.client()
    client.create_bucket(Bucket=place.bucket)
    assert ensure_bucket(place, said.append) == place
    assert said == []
    with pytest.raises(client.exceptions.ClientError, match="NoSuchPublicAccessBlock"):
        client.get_public_access_block(Bucket=place.bucket)


def test_a_bucket_that_another_queue_makes_at_the_same_time_is_ours(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    meanwhile = error(409, "BucketAlreadyOwnedByYou")
    with strangers(aws, monkeypatch, PUT_raced=meanwhile):
        place = _place("raced", "eu-central-1")
        assert ensure_bucket(place, said.append) == place
    assert said == []


@pytest.mark.parametrize("seen", ["GET", "PUT"])
def test_where_a_stranger_has_the_usual_name_the_accounts_own_stands_for_it(
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


def test_a_bucket_that_a_person_named_and_that_refuses_us_is_denied(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with (
        strangers(aws, monkeypatch, GET_theirs=error(403, "AccessDenied")) as front,
        pytest.raises(Denied, match="stranger's") as raised,
    ):
        ensure_bucket(_place("theirs", "us-east-1"), said.append)
    assert "--bucket" in raised.value.hint
    assert said == []
    assert [asked.method for asked in front.asked] == ["GET"]


def test_where_the_accounts_own_name_refuses_us_too_it_is_denied(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    no = error(403, "AccessDenied")
    with (
        strangers(aws, monkeypatch, GET_usual=no, GET_spawn_results_123456789012_us_east_1=no),
        pytest.raises(Denied, match=f"spawn-results-{ACCOUNT}-us-east-1"),
    ):
        ensure_bucket(_place("usual", "us-east-1"), lambda _: None, chosen=False)


def test_a_bucket_that_another_account_lends_is_asked_for_as_that_accounts(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "on_aws", lambda _: True)
    monkeypatch.setenv("SPAWN_BUCKET_OWNER", "111122223333")
    name = _name()
    with strangers(aws, monkeypatch) as front:
        with pytest.raises(Denied, match="111122223333"):
            ensure_bucket(_place(name, "us-east-1"), lambda _: None)
        aws.client().create_bucket(Bucket=name)
        ensure_bucket(_place(name, "us-east-1"), lambda _: None)
    assert [asked.method for asked in front.asked] == ["GET", "GET"], "STS is not asked"
    assert all("prefix=q%2F" in asked.query for asked in front.asked), "it may be all we may see"
    said = {asked.headers["x-amz-expected-bucket-owner"] for asked in front.asked}
    assert said == {"111122223333"}


def test_a_bucket_of_another_account_that_refuses_us_has_nothing_to_stand_for_it(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAWN_BUCKET_OWNER", "111122223333")
    with (
        strangers(aws, monkeypatch, GET_usual=error(403, "AccessDenied")),
        pytest.raises(Denied, match="denied access"),
    ):
        ensure_bucket(_place("usual", "us-east-1"), lambda _: None, chosen=False)


def test_a_bucket_that_is_made_has_the_encryption_that_is_set(
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
        (403, "InvalidAccessKeyId", Denied),
        (403, "SignatureDoesNotMatch", Denied),
        (400, "ExpiredToken", Unavailable),
        (503, "SlowDown", Unavailable),
    ],
)
def test_our_own_trouble_is_not_taken_for_a_strangers_bucket(
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


def test_a_bucket_that_may_not_be_made_is_denied(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        strangers(aws, monkeypatch, PUT_new=error(403, "AccessDenied")),
        pytest.raises(Denied, match="AccessDenied"),
    ):
        ensure_bucket(_place("new", "us-east-1"), lambda _: None)


def test_a_server_whose_buckets_have_no_settings_is_no_error_and_is_said_to_be_one(
    aws: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: Asked) -> Answer:
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


def test_without_a_server_or_credentials_the_error_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable):
        ensure_bucket(_place("b", "us-east-1"), lambda _: None)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Denied, match="credentials"):
        ensure_bucket(_place("b", "us-east-1"), lambda _: None)
