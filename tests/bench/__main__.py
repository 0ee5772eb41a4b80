"""Run every measurement, print the page and write it."""

import sys
import tempfile
from pathlib import Path

from tests.bench import (
    append,
    chain,
    downloads,
    feed,
    instance,
    replay,
    replication,
    restore,
    runner,
    sizes,
    status,
    tunnel,
)
from tests.bench.figures import page

MEASURES = {
    "chain": chain,
    "sizes": sizes,
    "replay": replay,
    "append": append,
    "runner": runner,
    "status": status,
    "tunnel": tunnel,
    "instance": instance,
    "feed": feed,
    "replication": replication,
    "restore": restore,
    "downloads": downloads,
}


def main() -> None:
    """Run the benchmarks named in argv, or all; only a full run writes the page."""
    chosen = sys.argv[1:] or list(MEASURES)
    figures = []
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="spawn-bench-") as folder:
            found = MEASURES[name].measure(Path(folder))
            for figure in found if isinstance(found, list) else [found]:
                figures.append(figure)
                print(f"{figure.what}: {figure.found}", file=sys.stderr)
    text = page(figures)
    print(text)
    if not sys.argv[1:]:
        Path("docs/benchmarks.md").write_text(text)


main()
