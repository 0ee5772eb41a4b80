"""What an hour of an instance costs: spot prices from EC2, the others from AWS's price list."""

from datetime import datetime

from spawn.core.cost import Cost, Rate, estimate, on_demand_price
from spawn.core.errors import SpawnError
from spawn.store.instances import Described, ec2_errors
from spawn.store.objects.aws import connect, errors

_LIST = "us-east-1"
"""Where the price list is asked; it has all regions."""
_LINUX = "Linux/UNIX"


def cost_of(found: Described, now: datetime, profile: str | None) -> Cost:
    """Estimate what an instance has cost since it was last started; the answer says why not, where
    that cannot be told."""
    if found.launched_at is None:
        return Cost(seconds=None, why="EC2 does not say when it was started")
    over = found.state in ("stopped", "terminated")
    ended = found.ended_at or (None if over else now)
    if ended is None:
        return Cost(seconds=None, why=f"EC2 does not say when it was {found.state}")
    seconds = max(0.0, (ended - found.launched_at).total_seconds())
    if found.platform not in ("", _LINUX):
        return Cost(seconds=seconds, why=f"no price is known here for {found.platform}")
    basis = "spot" if found.spot else "on-demand"
    try:
        rates = _spot(found, ended, profile) if found.spot else _on_demand(found, profile)
    except SpawnError as error:
        why = next(iter(error.why.splitlines()), "")
        said = f"{error.what}: {why}" if why else error.what
        return Cost(seconds=seconds, why=f"its {basis} price cannot be had: {said}")
    if not rates:
        return Cost(seconds=seconds, why=f"AWS names no {basis} price for {found.type}")
    return estimate(rates, found.launched_at, ended, basis)


def _spot(found: Described, ended: datetime, profile: str | None) -> list[Rate]:
    with ec2_errors(found.region):
        pages = (
            connect("ec2", found.region, profile)
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
            Rate(each["Timestamp"], float(each["SpotPrice"]))
            for page in pages
            for each in page["SpotPriceHistory"]
            if each.get("AvailabilityZone") == found.zone
        ]


def _on_demand(found: Described, profile: str | None) -> list[Rate]:
    wanted = {
        "instanceType": found.type,
        "regionCode": found.region,
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "licenseModel": "No License required",
        "tenancy": "Shared",
        "capacitystatus": "Used",
    }
    with errors("AWS's price list", ""):
        answer = connect("pricing", _LIST, profile).get_products(
            ServiceCode="AmazonEC2",
            Filters=[
                {"Type": "TERM_MATCH", "Field": field, "Value": value}
                for field, value in wanted.items()
            ],
        )
        price = on_demand_price(answer["PriceList"])
    assert found.launched_at is not None
    return [] if price is None else [Rate(found.launched_at, price)]
