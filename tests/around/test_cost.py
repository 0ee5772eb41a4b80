"""Cost of an instance: sums over changing prices, and the price list parser."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from spawn.core.values.cost import HourlyPrice, estimate, on_demand_price

BEGAN = datetime(2026, 1, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_one_price_applies_to_the_whole_run() -> None:
    cost = estimate([HourlyPrice(BEGAN - 9 * HOUR, 0.2)], BEGAN, BEGAN + 6 * HOUR, "on-demand")
    assert (cost.seconds, cost.usd, cost.per_hour) == (6 * 3600, pytest.approx(1.2), 0.2)


def test_each_price_applies_until_the_next_one() -> None:
    rates = [
        HourlyPrice(BEGAN + 3 * HOUR, 0.4),
        HourlyPrice(BEGAN - 2 * HOUR, 0.1),
        HourlyPrice(BEGAN + HOUR, 0.2),
    ]
    cost = estimate(rates, BEGAN, BEGAN + 4 * HOUR, "spot")
    assert cost.usd == pytest.approx(0.1 + 2 * 0.2 + 0.4)
    assert cost.per_hour == 0.4


def test_a_price_after_the_end_is_ignored() -> None:
    rates = [HourlyPrice(BEGAN, 0.1), HourlyPrice(BEGAN + 5 * HOUR, 9.0)]
    cost = estimate(rates, BEGAN, BEGAN + 2 * HOUR, "spot")
    assert (cost.usd, cost.per_hour) == (pytest.approx(0.2), 0.1)


def test_an_end_before_the_start_costs_nothing() -> None:
    assert estimate([HourlyPrice(BEGAN, 0.1)], BEGAN, BEGAN - HOUR, "spot").usd == 0


def product(usd: str, unit: str = "Hrs") -> str:
    price = {"unit": unit, "pricePerUnit": {"USD": usd}}
    return json.dumps({"terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": price}}}}})


@pytest.mark.parametrize(
    ("products", "price"),
    [
        ([product("0.1008000000")], 0.1008),
        ([product("0.1008"), product("0.1008")], 0.1008),
        ([product("0.1008"), product("0.0")], 0.1008),
        ([product("0.1008"), product("0.2")], None),
        ([product("1.5", "Quantity")], None),
        ([], None),
        (["no json", "[]", "{}", '{"terms": {"OnDemand": 3}}', product("x")], None),
    ],
)
def test_an_ambiguous_or_invalid_price_list_gives_no_price(
    products: list[str], price: float | None
) -> None:
    assert on_demand_price(products) == price
