"""What a launch makes, and what it says."""

import base64
import json
import stat
from pathlib import Path

from tests.launch.conftest import FROM, NOTHING, TYPE, Person

from spawn.cli.remote.openssh import Config
from spawn.core.launch import policy


def test_a_launch_starts_one_instance_and_prints_its_id(person: Person) -> None:
    done = person.launch()
    assert done.code == 0, done.err
    (found,) = person.instances()
    assert done.out == f"{found['InstanceId']}\n"
    print(done.err, json.dumps(found, default=str))
