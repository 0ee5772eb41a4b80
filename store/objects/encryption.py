"""Server-side encryption of objects, as set in the environment."""

from collections.abc import Mapping

from spawn.core.errors import InvalidArgument

ALGORITHM = "SPAWN_SSE"
KEY = "SPAWN_SSE_KMS_KEY_ID"
_WITH_KEY = ("aws:kms", "aws:kms:dsse")
_ALGORITHMS = ("AES256", *_WITH_KEY)
_LONGEST_KEY = 2048
"""Source: `KeyId` of "Encrypt" in the KMS API reference."""


def object_encryption(environ: Mapping[str, str]) -> dict[str, str]:
    """boto3's arguments for each new object; empty to use the bucket's default.

    Raises:
        InvalidArgument: A setting is invalid, or a key is set without KMS.
    """
    algorithm, key = environ.get(ALGORITHM, ""), environ.get(KEY, "")
    if algorithm and algorithm not in _ALGORITHMS:
        raise InvalidArgument(
            f"{ALGORITHM} is '{algorithm}'",
            why="S3 has no such encryption",
            hint=f"use one of {', '.join(_ALGORITHMS)}, or unset it for the bucket's default",
        )
    if key and algorithm not in _WITH_KEY:
        raise InvalidArgument(
            f"{KEY} is set, but {ALGORITHM} is {algorithm or 'not'}",
            why="only KMS uses a key",
            hint=f"set {ALGORITHM}=aws:kms",
        )
    if len(key) > _LONGEST_KEY or not all("!" <= letter <= "~" for letter in key):
        raise InvalidArgument(
            f"{KEY} is not a valid key",
            why="it contains spaces or invalid characters, or is too long",
            hint="use the ID or ARN of a KMS key, or the ARN of an alias",
        )
    asked = {"ServerSideEncryption": algorithm} if algorithm else {}
    return asked | ({"SSEKMSKeyId": key} if key else {})


def bucket_encryption(environ: Mapping[str, str]) -> dict[str, str]:
    """boto3's rule for a new bucket's default encryption; `AES256` if nothing is set."""
    asked = object_encryption(environ)
    rule = {"SSEAlgorithm": asked.get("ServerSideEncryption", "AES256")}
    return rule | ({"KMSMasterKeyID": asked["SSEKMSKeyId"]} if "SSEKMSKeyId" in asked else {})
