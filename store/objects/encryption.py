"""How objects are to be encrypted where they are kept: as the environment says."""

from collections.abc import Mapping

from spawn.core.errors import InvalidArgument

ALGORITHM = "SPAWN_SSE"
KEY = "SPAWN_SSE_KMS_KEY_ID"
_WITH_KEY = ("aws:kms", "aws:kms:dsse")
_ALGORITHMS = ("AES256", *_WITH_KEY)
_LONGEST_KEY = 2048
"""Source: `KeyId` of "Encrypt" in the KMS API reference."""


def encryption(environ: Mapping[str, str]) -> dict[str, str]:
    """What each new object asks for, in boto3's words; nothing when nothing is set.

    Then the bucket's own default holds.

    Raises:
        InvalidArgument: A setting is none that S3 has, or one goes without the other.
    """
    algorithm, key = environ.get(ALGORITHM, ""), environ.get(KEY, "")
    if algorithm and algorithm not in _ALGORITHMS:
        raise InvalidArgument(
            f"{ALGORITHM} is '{algorithm}'",
            why="S3 has no such encryption",
            hint=f"it is one of {', '.join(_ALGORITHMS)}, or not set: the bucket's default holds",
        )
    if key and algorithm not in _WITH_KEY:
        raise InvalidArgument(
            f"{KEY} is set, and {ALGORITHM} is {algorithm or 'not'}",
            why="only KMS takes a key",
            hint=f"{ALGORITHM}=aws:kms goes with it",
        )
    if len(key) > _LONGEST_KEY or not all("!" <= letter <= "~" for letter in key):
        raise InvalidArgument(
            f"{KEY} cannot be a key",
            why="it has spaces or letters that none has, or is too long",
            hint="the id or the ARN of a KMS key, or an alias's ARN",
        )
    asked = {"ServerSideEncryption": algorithm} if algorithm else {}
    return asked | ({"SSEKMSKeyId": key} if key else {})


def default(environ: Mapping[str, str]) -> dict[str, str]:
    """The same as a new bucket's default, in boto3's words; `AES256` when nothing is set."""
    asked = encryption(environ)
    rule = {"SSEAlgorithm": asked.get("ServerSideEncryption", "AES256")}
    return rule | ({"KMSMasterKeyID": asked["SSEKMSKeyId"]} if "SSEKMSKeyId" in asked else {})
