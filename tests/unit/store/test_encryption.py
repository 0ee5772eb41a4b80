"""Encryption settings: the headers that they give, and invalid settings."""

import pytest

from spawn.core.errors import InvalidArgument
from spawn.store.objects.encryption import bucket_encryption, object_encryption

ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_without_a_setting_there_is_no_header() -> None:
    assert object_encryption({}) == {}
    assert object_encryption({"SPAWN_SSE": "", "SPAWN_SSE_KMS_KEY_ID": ""}) == {}
    assert bucket_encryption({}) == {"SSEAlgorithm": "AES256"}


@pytest.mark.parametrize("algorithm", ["AES256", "aws:kms", "aws:kms:dsse"])
def test_an_algorithm_gives_its_header(algorithm: str) -> None:
    assert object_encryption({"SPAWN_SSE": algorithm}) == {"ServerSideEncryption": algorithm}
    assert bucket_encryption({"SPAWN_SSE": algorithm}) == {"SSEAlgorithm": algorithm}


@pytest.mark.parametrize("algorithm", ["aws:kms", "aws:kms:dsse"])
@pytest.mark.parametrize("key", [ARN, "1234abcd-12ab-34cd-56ef-1234567890ab", "alias/queues"])
def test_a_key_implies_kms(algorithm: str, key: str) -> None:
    environ = {"SPAWN_SSE": algorithm, "SPAWN_SSE_KMS_KEY_ID": key}
    assert object_encryption(environ) == {"ServerSideEncryption": algorithm, "SSEKMSKeyId": key}
    assert bucket_encryption(environ) == {"SSEAlgorithm": algorithm, "KMSMasterKeyID": key}


@pytest.mark.parametrize(
    ("algorithm", "key", "named"),
    [
        ("aes256", "", "SPAWN_SSE is 'aes256'"),
        ("kms", "", "SPAWN_SSE is 'kms'"),
        ("aws:kms ", "", "SPAWN_SSE is 'aws:kms '"),
        ("", ARN, "SPAWN_SSE is not"),
        ("AES256", ARN, "SPAWN_SSE is AES256"),
        ("aws:kms", "a key", "is not a valid key"),
        ("aws:kms", "key\n", "is not a valid key"),
        ("aws:kms", "clé", "is not a valid key"),
        ("aws:kms", "k" * 2049, "is not a valid key"),
    ],
)
def test_an_invalid_setting_is_an_error_with_the_valid_ones(
    algorithm: str, key: str, named: str
) -> None:
    with pytest.raises(InvalidArgument, match=named) as raised:
        object_encryption({"SPAWN_SSE": algorithm, "SPAWN_SSE_KMS_KEY_ID": key})
    assert raised.value.exit_code == 2
    assert raised.value.hint
