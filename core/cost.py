"""What an instance has cost: hours of running times what an hour costs. An estimate."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

LEFT_OUT = "without volumes, traffic and S3"
"""What an estimate does not count."""
_HOUR = 3600.0


class Rate(Struct, frozen=True):
    """What an hour of an instance costs from a moment on, in US dollars."""

    since: datetime
    usd: float


class Cost(Struct, frozen=True, kw_only=True):
    """How long an instance has run since it was last started, and what that costs.

    `seconds` is None where nobody knows when it ended.
    """

    seconds: float | None
    usd: float | None = None
    per_hour: float | None = None
    """The price of an hour: the newest, where it changes."""
    basis: str = ""
    """Which price that is: `spot` or `on-demand`."""
    why: str = ""
    """Why the cost is not known."""


def estimate(rates: Sequence[Rate], began: datetime, ended: datetime, basis: str) -> Cost:
    """Add up what the hours between two moments cost.

    Args:
        rates: At least one. The first holds from `began` on, whenever it began to hold.
    """
    in_order = sorted(rates, key=lambda rate: rate.since)
    starts = [began, *(max(began, rate.since) for rate in in_order[1:])]
    ends = [*starts[1:], ended]
    usd = 0.0
    newest = in_order[0]
    for rate, start, end in zip(in_order, starts, ends, strict=True):
        usd += max(0.0, (min(end, ended) - start).total_seconds()) / _HOUR * rate.usd
        newest = rate if start <= ended else newest
    seconds = max(0.0, (ended - began).total_seconds())
    return Cost(seconds=seconds, usd=usd, per_hour=newest.usd, basis=basis)


def on_demand_price(products: Iterable[str]) -> float | None:
    """Read the price of an hour from the price list; None when it has none, or several.

    Source: "Reading the service price list files" of the AWS Billing user guide.

    Args:
        products: JSON, a product each, as `GetProducts` returns them.
    """
    found: set[float] = set()
    for text in products:
        try:
            found.update(_hourly(msgspec.json.decode(text)))
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
            continue
    prices = {price for price in found if price > 0}
    return prices.pop() if len(prices) == 1 else None


def _hourly(product: Any) -> Iterable[float]:
    for term in product["terms"]["OnDemand"].values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"] == "Hrs":
                yield float(dimension["pricePerUnit"]["USD"])
