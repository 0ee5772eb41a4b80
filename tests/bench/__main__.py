"""Run every measurement, print the page and write it."""

import sys
import tempfile
from pathlib import Path

from tests.bench import append, chain, replay, runner, sizes, status
from tests.bench.figures import page

MEASURES = {
    "chain": chain,
    "sizes": sizes,
    "replay": replay,
    "append": append,
    "runner": runner,
    "status": status,
}


def main() -> None:
    """Measure what argv names, or everything; only everything is written down."""
    chosen = sys.argv[1:] or list(MEASURES)
    figures = []
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="spawn-bench-") as folder:
            figures.append(MEASURES[name].measure(Path(folder)))
            print(f"{figures[-1].what}: {figures[-1].found}", file=sys.stderr)
    text = page(figures)
    print(text)
    if not sys.argv[1:]:
        Path("docs/benchmarks.md").write_text(text)


main()
