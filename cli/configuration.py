"""Read a configuration file."""

import sys
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from spawn.core.codec import clean
from spawn.core.config.model import QueueConfig
from spawn.core.config.parse import parse
from spawn.core.errors import InvalidArgument

_MOST_BYTES = 128 * 1024 * 1024
"""Of a configuration: some hundred thousand jobs."""


class Loaded(Struct, frozen=True):
    """A validated configuration and the file that it came from."""

    config: QueueConfig
    name: str
    sha256: str
    data: bytes = b""
    """The file as it is."""


def load(file: Path) -> Loaded:
    """Read and validate a configuration; `-` is stdin.

    Raises:
        InvalidArgument: The file cannot be read.
        InvalidConfig: It has problems.
    """
    if str(file) == "-":
        data = b"" if sys.stdin is None else sys.stdin.buffer.read(_MOST_BYTES + 1)
        name, folder = "stdin", Path.cwd()
    else:
        name, folder = clean(str(file)), file.absolute().parent
        try:
            with open(file, "rb") as stream:  # which may be a pipe
                data = stream.read(_MOST_BYTES + 1)
        except OSError as error:
            raise InvalidArgument(
                f"{name} cannot be read",
                why=error.strerror or "",
                hint="FILE is the path of a queue's configuration",
            ) from None
    if len(data) > _MOST_BYTES:
        raise InvalidArgument(f"{name} is larger than {_MOST_BYTES} bytes")
    if clean(str(folder)) != str(folder):
        raise InvalidArgument(
            f"the folder of {name} has a name that is not UTF-8", hint="rename it"
        )
    config = parse(data, base_directory=str(folder), name=name)
    return Loaded(config, name, sha256(data).hexdigest(), data)
