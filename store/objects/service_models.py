"""Load botocore's service models faster than botocore does.

A new client reads four JSON files, and to list the services it looks into each of 400 folders,
twice. Measured: this is half of the time that creating a client takes.
"""

import gzip
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.loaders import Loader
from botocore.session import Session, get_session
from msgspec.json import decode


def create_session() -> Session:
    """Create a botocore session, which clients may share. Honors `AWS_DATA_PATH`."""
    made = get_session()
    extra = str(made.get_config_variable("data_path") or "").split(os.pathsep)
    paths = [str(Path(os.path.expandvars(each)).expanduser()) for each in extra if each]
    made.register_component("data_loader", _Models(paths, _Files()))
    return made


class _Models(Loader):  # type: ignore[misc] # botocore has no types
    """Treats every folder as a service: a folder without models has nothing to load."""

    def list_available_services(self, _: str) -> list[str]:
        names: set[str] = set()
        for path in self.search_paths:
            with suppress(OSError):
                names.update(each.name for each in Path(path).iterdir())
        return sorted(names)


class _Files:
    """The file access of `Loader`, which passes paths without a suffix."""

    def exists(self, path: str) -> bool:
        return os.path.isfile(f"{path}.json") or os.path.isfile(f"{path}.json.gz")  # noqa: PTH113

    def load_file(self, path: str) -> Any:
        with suppress(FileNotFoundError):
            return decode(Path(f"{path}.json").read_bytes())
        with suppress(FileNotFoundError):
            return decode(gzip.decompress(Path(f"{path}.json.gz").read_bytes()))
        return None
