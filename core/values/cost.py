"""Estimate the cost of an instance: running time multiplied by the hourly price."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

NOT_INCLUDED = "without volumes, traffic and S3"
"""Costs that the estimate does not include."""
_HOUR = 3600.0


class HourlyPrice(Struct, frozen=True):
    """The hourly price of an instance in US dollars, valid from `since`."""

    since: datetime
    usd: float


class Cost(Struct, frozen=True, kw_only=True):
    """Running time of an instance since its last start, and its cost in US dollars.

    `seconds` is None if the end is unknown.
    """

    seconds: float | None
    usd: float | None = None
    per_hour: float | None = None
    """The most recent hourly price."""
    basis: str = ""
    """Kind of price: `spot` or `on-demand`."""
    why: str = ""
    """Why the cost is unknown."""


def estimate(rates: Sequence[HourlyPrice], began: datetime, ended: datetime, basis: str) -> Cost:
    """Return the cost of the time between two moments.

    Args:
        rates: At least one. The earliest applies from `began`, whatever its `since`.
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
    """Read the hourly price from the price list; None if it lists none or several.

    Source: "Reading the service price list files" of the AWS Billing user guide.

    Args:
        products: One JSON text per product, as `GetProducts` returns them.
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
