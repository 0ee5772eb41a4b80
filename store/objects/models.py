"""What botocore must know of AWS, read for less than botocore reads it for.

Before its first request a client reads four files of JSON, and to know which services there are it
looks into each of 400 folders, twice. Measured: that is half of what making a client takes.
"""

import gzip
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.loaders import Loader
from botocore.session import Session, get_session
from msgspec.json import decode


def session() -> Session:
    """A new session of botocore's; clients may share it. `AWS_DATA_PATH` counts."""
    made = get_session()
    extra = str(made.get_config_variable("data_path") or "").split(os.pathsep)
    paths = [str(Path(os.path.expandvars(each)).expanduser()) for each in extra if each]
    made.register_component("data_loader", _Models(paths, _Files()))
    return made


class _Models(Loader):  # type: ignore[misc] # botocore has no types
    """Takes every folder for a service's: of one that is none there is nothing to load."""

    def list_available_services(self, _: str) -> list[str]:
        names: set[str] = set()
        for path in self.search_paths:
            with suppress(OSError):
                names.update(each.name for each in Path(path).iterdir())
        return sorted(names)


class _Files:
    """What `Loader` asks of files. The paths that it gives lack their ending."""

    def exists(self, path: str) -> bool:
        return os.path.isfile(f"{path}.json") or os.path.isfile(f"{path}.json.gz")  # noqa: PTH113

    def load_file(self, path: str) -> Any:
        with suppress(FileNotFoundError):
            return decode(Path(f"{path}.json").read_bytes())
        with suppress(FileNotFoundError):
            return decode(gzip.decompress(Path(f"{path}.json.gz").read_bytes()))
        return None
