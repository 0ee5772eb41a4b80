"""Read a configuration file."""

import sys
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from spawn.core.config.model import QueueConfig
from spawn.core.config.parser import parse_config
from spawn.core.domain.codec import valid_utf8
from spawn.core.errors import InvalidArgument

_MAX_BYTES = 128 * 1024 * 1024
"""Largest configuration: some hundred thousand jobs."""


class ConfigurationFile(Struct, frozen=True):
    """A validated configuration and its file."""

    config: QueueConfig
    name: str
    sha256: str
    """Hexadecimal, of `data`."""
    data: bytes = b""


def load_configuration(file: Path) -> ConfigurationFile:
    """Read and validate a configuration; `-` is stdin.

    Raises:
        InvalidArgument: The file cannot be read.
        InvalidConfig: The configuration has problems.
    """
    if str(file) == "-":
        data = b"" if sys.stdin is None else sys.stdin.buffer.read(_MAX_BYTES + 1)
        name, folder = "stdin", Path.cwd()
    else:
        name, folder = valid_utf8(str(file)), file.absolute().parent
        try:
            with open(file, "rb") as stream:  # may be a pipe
                data = stream.read(_MAX_BYTES + 1)
        except OSError as error:
            raise InvalidArgument(
                f"{name} cannot be read",
                why=error.strerror or "",
                hint="FILE is the path of a configuration, or `-` for stdin",
            ) from None
    if len(data) > _MAX_BYTES:
        raise InvalidArgument(f"{name} is larger than {_MAX_BYTES} bytes")
    if valid_utf8(str(folder)) != str(folder):
        raise InvalidArgument(
            f"the folder of {name} has a name that is not UTF-8", hint="rename the folder"
        )
    config = parse_config(data, base_directory=str(folder), name=name)
    return ConfigurationFile(config, name, sha256(data).hexdigest(), data)
