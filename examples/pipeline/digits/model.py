"""`model.json`: the trained network, and the data it was trained on."""

from pathlib import Path

from digits.files import read_json
from digits.network import HINT, Network
from digits.problem import Problem
from digits.table import Table


def read_model(path: Path, table: Table) -> Network:
    """The network in `path`, to be tried on `table`.

    Raises:
        Problem: The file is missing or broken, or the network was trained on other data, so that
            images kept for the test may be among those it learnt.
    """
    value = read_json(path, HINT)
    network = Network.from_dict(value, str(path))
    if value.get("data_sha256") != table.sha256:
        raise Problem(f"{path} was trained on other data than this; run train.py again")
    return network
