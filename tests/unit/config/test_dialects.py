"""Both dialects give the same configuration."""

from typing import Any

import pytest
from tests.unit.config.samples import (
    LONG_PIPELINE,
    PIPELINE,
    only_job,
    problems,
    read,
    with_job,
    with_queue,
)

from spawn.core.config.model import JobConfig, QueueConfig, RetryPolicy


def test_the_short_dialect_is_read() -> None:
    config = read(PIPELINE)
    assert config.queue_id == "pipeline-20260127"
    assert [job.job_id for job in config.jobs] == ["preprocess", "train", "export"]
    assert config.jobs[0] == JobConfig(
        job_id="preprocess",
        command="python preprocess.py --input /data/raw --output /data/processed",
        working_directory="/home/ada",
        timeout=1800,
        retry=RetryPolicy(max_attempts=3),
        result_files=("/data/processed/cleaned_data.csv", "/data/processed/stats.json"),
    )


def test_the_long_dialect_is_read() -> None:
    assert read(LONG_PIPELINE) == QueueConfig(
        queue_name="Nightly training",
        global_timeout=172800,
        on_failure="continue",
        max_parallel=4,
        durability="s3",
        upload_wait=0,
        kill_grace=5,
        result_s3_bucket="team-results",
        result_s3_prefix="vision/nightly",
        jobs=(
            JobConfig(
                job_id="fetch",
                command="./fetch.sh",
                working_directory="/home/ada/fetch",
                timeout=5400,
                retry=RetryPolicy(
                    max_attempts=5,
                    backoff="exponential-jitter",
                    base_delay=5,
                    max_delay=120,
                    dont_retry_on_codes=(2, 64),
                ),
                environment={"TOKEN": "${HUB_TOKEN}", "PRICE": "5$ or $X"},
                result_files=("out/**/*.csv", "/var/out/"),
            ),
            JobConfig(
                job_id="report",
                command="./report.sh",
                working_directory="/home/ada",
                depends_on=("fetch",),
                retry=RetryPolicy(max_attempts=2, backoff="fixed", base_delay=0),
            ),
        ),
    )


@pytest.mark.parametrize(("count", "attempts"), [(0, 1), (1, 1), (3, 3), (1000, 1000)])
def test_retry_count_is_the_total_number_of_attempts(count: int, attempts: int) -> None:
    assert only_job(retry_count=count).retry == RetryPolicy(max_attempts=attempts)
    assert only_job().retry == RetryPolicy(max_attempts=1)


@pytest.mark.parametrize(
    ("keep", "drop"),
    [("result_files", "result_paths"), ("environment", "env")],
)
def test_two_spellings_are_equivalent_and_exclude_each_other(keep: str, drop: str) -> None:
    value: object = ["out"] if keep == "result_files" else {"A": "1"}
    assert only_job(**{keep: value}) == only_job(**{drop: value})
    assert problems(with_job(**{keep: value, drop: value})) == [
        f"jobs[0].{drop}: means the same as '{keep}'; keep only '{keep}'"
    ]


def test_retry_and_retry_count_exclude_each_other() -> None:
    assert problems(with_job(retry={"max_attempts": 2}, retry_count=2)) == [
        "jobs[0].retry_count: means the same as 'retry'; keep only 'retry'"
    ]


def test_delay_is_base_delay_and_excludes_it() -> None:
    one = only_job(retry={"max_attempts": 2, "delay": "5s"})
    assert one == only_job(retry={"max_attempts": 2, "base_delay": "5s"})
    assert problems(with_job(retry={"max_attempts": 2, "delay": "5s", "base_delay": "5s"})) == [
        "jobs[0].retry.delay: means the same as 'base_delay'; keep only 'base_delay'"
    ]


@pytest.mark.parametrize(
    ("retry", "backoff"),
    [
        ({"jitter": True}, "exponential-jitter"),
        ({"jitter": True, "backoff": "exponential"}, "exponential-jitter"),
        ({"jitter": True, "backoff": "exponential-jitter"}, "exponential-jitter"),
        ({"jitter": False}, "exponential"),
        ({"jitter": False, "backoff": "fixed"}, "fixed"),
        ({"backoff": "exponential-jitter"}, "exponential-jitter"),
    ],
)
def test_jitter_sets_the_backoff(retry: dict[str, Any], backoff: str) -> None:
    assert only_job(retry={"max_attempts": 2, **retry}).retry.backoff == backoff


@pytest.mark.parametrize(
    ("retry", "problem"),
    [
        (
            {"backoff": "fixed", "jitter": True},
            "jitter: a fixed backoff has no jitter; remove one of the two",
        ),
        (
            {"backoff": "exponential-jitter", "jitter": False},
            "jitter: is false, but backoff is 'exponential-jitter'; "
            "remove jitter, or change backoff to 'exponential'",
        ),
        (
            {"delay": "1m", "max_delay": "30s"},
            "max_delay: '30s' is shorter than the first delay, '1m'; increase it, or remove it",
        ),
        (
            {"retry_on_codes": [1, 2], "dont_retry_on_codes": [3, 2]},
            "dont_retry_on_codes: 2 is also in retry_on_codes; remove it from one of the two",
        ),
    ],
)
def test_contradictory_fields_are_a_problem(retry: dict[str, Any], problem: str) -> None:
    found = problems(with_job(retry={"max_attempts": 2, **retry}))
    assert found == [f"jobs[0].retry.{problem}"]


def test_a_contradiction_is_found_beside_another_problem_of_its_object() -> None:
    retry = {"max_attempts": 0, "backoff": "fixed", "jitter": True}
    assert len(problems(with_job(retry=retry))) == 2


def test_a_first_delay_over_the_default_cap_is_kept() -> None:
    policy = only_job(retry={"max_attempts": 2, "backoff": "fixed", "delay": "10m"}).retry
    assert (policy.base_delay, policy.max_delay) == (600, 600)
    capped = only_job(retry={"max_attempts": 2, "max_delay": "5s"}).retry
    assert (capped.base_delay, capped.max_delay) == (10, 5)


@pytest.mark.parametrize(
    ("written", "directory"),
    [
        (None, "/home/ada"),
        (".", "/home/ada"),
        ("work", "/home/ada/work"),
        ("../bob/./x//", "/home/bob/x"),
        ("/data/../srv", "/srv"),
        ("./~x", "/home/ada/~x"),
    ],
)
def test_a_working_directory_is_absolute_and_normal(written: str | None, directory: str) -> None:
    fields = {} if written is None else {"working_directory": written}
    assert only_job(**fields).working_directory == directory


def test_a_trailing_slash_of_the_prefix_is_ignored() -> None:
    assert read(with_queue(result_s3_prefix="a/b/")) == read(with_queue(result_s3_prefix="a/b"))


def test_the_schema_that_a_file_names_is_ignored() -> None:
    assert read({"$schema": "anything", **with_job()}) == read(with_job())
