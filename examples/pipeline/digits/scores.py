"""How good the predictions are."""

from digits.chance import Chance
from digits.shape import CLASSES

Counts = list[list[int]]
RESAMPLES = 2000


def confusion(actual: list[int], predicted: list[int]) -> Counts:
    """How often each digit (row) was taken for each digit (column)."""
    counts = [[0] * CLASSES for _ in range(CLASSES)]
    for truth, guess in zip(actual, predicted, strict=True):
        counts[truth][guess] += 1
    return counts


def per_class(counts: Counts) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each digit, and how many images of it there are."""
    scores = {}
    for digit, row in enumerate(counts):
        right, actual = row[digit], sum(row)
        guessed = sum(other[digit] for other in counts)
        scores[str(digit)] = {
            "precision": right / guessed if guessed else 0.0,
            "recall": right / actual if actual else 0.0,
            "f1": 2 * right / (actual + guessed) if actual + guessed else 0.0,
            "images": actual,
        }
    return scores


def confusions(counts: Counts) -> list[tuple[int, int, int]]:
    """Every mistake as (count, actual, predicted), the most frequent first."""
    mistakes = [
        (count, actual, guess)
        for actual, row in enumerate(counts)
        for guess, count in enumerate(row)
        if count and guess != actual
    ]
    return sorted(mistakes, key=lambda mistake: (-mistake[0], *mistake[1:]))


def interval(right: list[bool], chance: Chance) -> tuple[float, float]:
    """Where the accuracy lies in 95 of 100 cases, by the percentile bootstrap.

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    size = len(right)
    means = sorted(
        sum(right[chance.below(size)] for _ in range(size)) / size for _ in range(RESAMPLES)
    )
    return means[RESAMPLES // 40], means[-RESAMPLES // 40]
