"""Build a wheel from the installed package, so that an instance runs the launcher's version.

Source: "Binary distribution format" of the Python packaging user guide.
"""

import base64
import os
import re
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path

import spawn
from spawn.core.errors import SpawnError

PROJECT = "spawn-queue"
_WHEEL = "Wheel-Version: 1.0\nGenerator: spawn\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The earliest time in a zip file; a fixed time makes the wheel reproducible."""


def installed() -> Distribution:
    """Return the package's metadata.

    Raises:
        SpawnError: The package is not installed, so its dependencies are not known.
    """
    try:
        return distribution(PROJECT)
    except PackageNotFoundError:
        raise SpawnError(
            f"{PROJECT} is not installed",
            why="its dependencies are not known without its metadata",
            hint="`pip install` it, or `pip install --editable` its folder",
        ) from None


def name() -> str:
    """Return the wheel's file name."""
    return f"{_stem()}-py3-none-any.whl"


def build() -> bytes:
    """Build the wheel of the running package; works for editable installs too.

    Raises:
        SpawnError: The package's metadata is missing.
    """
    info = f"{_stem()}.dist-info"
    found = installed()
    # The metadata of an editable install may have an older version.
    metadata = re.sub(
        r"(?m)^Version: .*$",
        f"Version: {spawn.__version__}",
        found.read_text("METADATA") or "",
        count=1,
    )
    files = dict(_package())
    files[f"{info}/METADATA"] = metadata.encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    files[f"{info}/entry_points.txt"] = (found.read_text("entry_points.txt") or "").encode()
    for license_file in re.findall(r"(?m)^License-File: (.+)$", metadata):
        text = found.read_text(f"licenses/{license_file}")
        if text is not None:
            files[f"{info}/licenses/{license_file}"] = text.encode()
    lines = [f"{each},sha256={_digest(data)},{len(data)}\n" for each, data in files.items()]
    files[f"{info}/RECORD"] = ("".join(lines) + f"{info}/RECORD,,\n").encode()
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in files.items():
            entry = zipfile.ZipInfo(each, _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return out.getvalue()


def _stem() -> str:
    return f"{PROJECT.replace('-', '_')}-{spawn.__version__}"


def _package() -> Iterator[tuple[str, bytes]]:
    """Yield the package's files in order; follows links."""
    root = Path(spawn.__path__[0])
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(each for each in folders if each != "__pycache__")
        for each in sorted(names):
            if not each.endswith((".pyc", ".pyo")) and not each.startswith("."):
                path = Path(folder) / each
                yield f"spawn/{path.relative_to(root).as_posix()}", path.read_bytes()


def _digest(data: bytes) -> str:
    """Return a digest in RECORD's format: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
