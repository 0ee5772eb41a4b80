"""Settings of encryption: what they ask for, and those that cannot be meant."""

import pytest

from spawn.core.errors import InvalidArgument
from spawn.store.objects.encryption import default, encryption

ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_without_a_setting_nothing_is_asked_for() -> None:
    assert encryption({}) == {}
    assert encryption({"SPAWN_SSE": "", "SPAWN_SSE_KMS_KEY_ID": ""}) == {}
    assert default({}) == {"SSEAlgorithm": "AES256"}


@pytest.mark.parametrize("algorithm", ["AES256", "aws:kms", "aws:kms:dsse"])
def test_an_algorithm_is_passed_on(algorithm: str) -> None:
    assert encryption({"SPAWN_SSE": algorithm}) == {"ServerSideEncryption": algorithm}
    assert default({"SPAWN_SSE": algorithm}) == {"SSEAlgorithm": algorithm}


@pytest.mark.parametrize("algorithm", ["aws:kms", "aws:kms:dsse"])
@pytest.mark.parametrize("key", [ARN, "1234abcd-12ab-34cd-56ef-1234567890ab", "alias/queues"])
def test_a_key_goes_with_kms(algorithm: str, key: str) -> None:
    environ = {"SPAWN_SSE": algorithm, "SPAWN_SSE_KMS_KEY_ID": key}
    assert encryption(environ) == {"ServerSideEncryption": algorithm, "SSEKMSKeyId": key}
    assert default(environ) == {"SSEAlgorithm": algorithm, "KMSMasterKeyID": key}


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
def test_what_cannot_be_meant_is_an_error_that_says_what_can(
    algorithm: str, key: str, named: str
) -> None:
    with pytest.raises(InvalidArgument, match=named) as raised:
        encryption({"SPAWN_SSE": algorithm, "SPAWN_SSE_KMS_KEY_ID": key})
    assert raised.value.exit_code == 2
    assert raised.value.hint
