"""What a launch makes, and what it says."""

import json

from tests.launch.conftest import Person


def test_a_launch_starts_one_instance_and_prints_its_id(person: Person) -> None:
    done = person.launch()
    assert done.code == 0, done.err
    (found,) = person.instances()
    assert done.out == f"{found['InstanceId']}\n"
    print(done.err, json.dumps(found, default=str))
