"""Estimate the cost of an instance: spot prices from EC2, others from AWS's price list."""

from datetime import datetime

from spawn.core.errors import SpawnError
from spawn.core.values.cost import Cost, HourlyPrice, estimate, on_demand_price
from spawn.store.aws.ec2_instances import InstanceDescription, ec2_errors
from spawn.store.objects.aws import create_client, translate_errors

_LIST = "us-east-1"
"""Region of the price list API; the list covers all regions."""
_LINUX = "Linux/UNIX"


def estimate_cost(found: InstanceDescription, now: datetime, profile: str | None) -> Cost:
    """Estimate an instance's cost since its last start; `why` explains a missing estimate."""
    if found.launched_at is None:
        return Cost(seconds=None, why="EC2 does not report when it was started")
    over = found.state in ("stopped", "terminated")
    ended = found.ended_at or (None if over else now)
    if ended is None:
        return Cost(seconds=None, why=f"EC2 does not report when it was {found.state}")
    seconds = max(0.0, (ended - found.launched_at).total_seconds())
    if found.platform not in ("", _LINUX):
        return Cost(seconds=seconds, why=f"spawn has no prices for {found.platform}")
    basis = "spot" if found.spot else "on-demand"
    try:
        if found.spot:
            rates = _spot_rates(found, ended, profile)
        else:
            rates = _on_demand_rates(found, profile)
    except SpawnError as error:
        why = next(iter(error.why.splitlines()), "")
        cause = f"{error.what}: {why}" if why else error.what
        return Cost(seconds=seconds, why=f"its {basis} price is not available: {cause}")
    if not rates:
        return Cost(seconds=seconds, why=f"AWS lists no {basis} price for {found.type}")
    return estimate(rates, found.launched_at, ended, basis)


def _spot_rates(
    found: InstanceDescription, ended: datetime, profile: str | None
) -> list[HourlyPrice]:
    with ec2_errors(found.region):
        pages = (
            create_client("ec2", found.region, profile)
            .get_paginator("describe_spot_price_history")
            .paginate(
                InstanceTypes=[found.type],
                AvailabilityZone=found.zone,
                ProductDescriptions=[_LINUX],
                StartTime=found.launched_at,
                EndTime=ended,
            )
        )
        return [
            HourlyPrice(each["Timestamp"], float(each["SpotPrice"]))
            for page in pages
            for each in page["SpotPriceHistory"]
            if each.get("AvailabilityZone") == found.zone
        ]


def _on_demand_rates(found: InstanceDescription, profile: str | None) -> list[HourlyPrice]:
    filters = {
        "instanceType": found.type,
        "regionCode": found.region,
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "licenseModel": "No License required",
        "tenancy": "Shared",
        "capacitystatus": "Used",
    }
    with translate_errors("AWS's price list", ""):
        answer = create_client("pricing", _LIST, profile).get_products(
            ServiceCode="AmazonEC2",
            Filters=[
                {"Type": "TERM_MATCH", "Field": field, "Value": value}
                for field, value in filters.items()
            ],
        )
        price = on_demand_price(answer["PriceList"])
    assert found.launched_at is not None
    return [] if price is None else [HourlyPrice(found.launched_at, price)]
