"""A configuration as canonical JSON, and back: one configuration, one sequence of bytes.

A field at its default is left out, so a default is part of the format: changing one would give
another meaning to the logs that exist.
"""

import msgspec

from spawn.core.config.model import JobConfig, QueueConfig

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(QueueConfig)


def encode(config: QueueConfig) -> bytes:
    """Encode: UTF-8, sorted keys, no spaces.

    Args:
        config: As `parse` and `decode` give it. Durations are floats there; a whole number in the
            place of one is equal to it, but is written otherwise.
    """
    return _encoder.encode(config)


def size(job: JobConfig) -> int:
    """Bytes that a job takes in that form."""
    return len(_encoder.encode(job))


def decode(data: bytes) -> QueueConfig:
    """Read back what `encode` wrote; unknown fields are passed over.

    Raises:
        msgspec.DecodeError: The bytes are something else.
    """
    return _decoder.decode(data)
