"""Canonical JSON of a configuration: equal configurations have equal bytes.

Fields at their default are omitted, so a default is part of the format: changing one changes the
meaning of existing logs.
"""

import msgspec

from spawn.core.config.model import JobConfig, QueueConfig

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(QueueConfig)


def encode_config(config: QueueConfig) -> bytes:
    """Encode as UTF-8 with sorted keys and no spaces.

    Args:
        config: From `parse` or `decode_config`. Durations must be floats: an equal int is encoded
            differently.
    """
    return _encoder.encode(config)


def encoded_job_size(job: JobConfig) -> int:
    """Return the size of a job's canonical JSON, in bytes."""
    return len(_encoder.encode(job))


def decode_config(data: bytes) -> QueueConfig:
    """Decode the output of `encode_config`; unknown fields are ignored.

    Raises:
        msgspec.DecodeError: The bytes are not a configuration.
    """
    return _decoder.decode(data)
