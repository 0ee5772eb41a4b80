"""Cost of a job in a queue of ten and in one of ten thousand."""

from pathlib import Path

from tests.bench.chain import run
from tests.bench.figures import Figure

SIZES = (100, 300, 1_000, 3_000, 10_000)
CLAIM = 1.5
_BAR = 40


def measure(folder: Path) -> Figure:
    """Run chains of each size."""
    costs = {size: run(folder / f"home-{size}", size) / size * 1e3 for size in SIZES}
    ratio = costs[SIZES[-1]] / costs[1_000]
    most = max(costs.values())
    plot = [
        f"{size:>7,} jobs  {cost:5.2f} ms  {'█' * round(cost / most * _BAR)}"
        for size, cost in costs.items()
    ]
    return Figure(
        what="cost of a job, 10,000 jobs to 1,000",
        found=f"{ratio:.2f} ×",
        claim=f"constant: at most {CLAIM} ×",
        holds=ratio <= CLAIM,
        how="chains of `true`, one run of each size.",
        more=("Cost of a job over the size of its queue:", "", "```", *plot, "```"),
    )
