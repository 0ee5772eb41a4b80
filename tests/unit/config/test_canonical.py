"""The canonical form of a configuration."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from tests.unit.config.samples import LONG_PIPELINE, PIPELINE, read
from tests.unit.config.strategies import configurations

from spawn.core.config import canonical
from spawn.core.config.model import JobConfig, QueueConfig, RetryPolicy


@settings(deadline=None)
@given(configurations())
def test_decode_is_the_inverse_of_encode(value: Any) -> None:
    config = read(value)
    data = canonical.encode_config(config)
    assert canonical.decode_config(data) == config
    assert canonical.encode_config(canonical.decode_config(data)) == data


@pytest.mark.parametrize("value", [PIPELINE, LONG_PIPELINE])
def test_the_order_of_fields_has_no_effect(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    turned["jobs"] = [dict(reversed(job.items())) for job in value["jobs"]]
    assert canonical.encode_config(read(turned)) == canonical.encode_config(read(value))


def test_keys_are_sorted_without_whitespace() -> None:
    job = JobConfig(job_id="a", command="é", working_directory="/", timeout=90.0)
    data = canonical.encode_config(QueueConfig(jobs=(job,), max_parallel=2))
    assert data.decode() == (
        '{"jobs":[{"command":"é","job_id":"a","timeout":90.0,"working_directory":"/"}],'
        '"max_parallel":2}'
    )
    assert canonical.encoded_job_size(job) == len(data) - len('{"jobs":[],"max_parallel":2}')


def test_omitted_defaults_never_change_their_meaning() -> None:
    data = b'{"jobs":[{"command":"true","job_id":"a","working_directory":"/"}]}'
    assert canonical.decode_config(data) == QueueConfig(
        jobs=(
            JobConfig(
                job_id="a",
                command="true",
                working_directory="/",
                depends_on=(),
                timeout=None,
                retry=RetryPolicy(
                    max_attempts=1,
                    backoff="exponential",
                    base_delay=10.0,
                    max_delay=300.0,
                    retry_on_codes=(),
                    dont_retry_on_codes=(),
                ),
                result_files=(),
                environment={},
            ),
        ),
        queue_id=None,
        queue_name=None,
        global_timeout=None,
        on_failure="stop",
        max_parallel=1,
        durability="local",
        upload_wait=300.0,
        kill_grace=30.0,
        result_s3_bucket=None,
        result_s3_prefix=None,
    )


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"jobs":[{}]}'])
def test_non_canonical_bytes_are_rejected(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        canonical.decode_config(data)
