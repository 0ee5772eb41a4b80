"""Valid and invalid configurations for the tests of this folder."""

import json
from typing import Any

import pytest

from spawn.core.config.model import JobConfig, QueueConfig
from spawn.core.config.parser import parse_config
from spawn.core.errors import InvalidConfig

PIPELINE: dict[str, Any] = {
    "queue_id": "pipeline-20260127",
    "jobs": [
        {
            "job_id": "preprocess",
            "command": "python preprocess.py --input /data/raw --output /data/processed",
            "retry_count": 3,
            "timeout": "30m",
            "result_files": ["/data/processed/cleaned_data.csv", "/data/processed/stats.json"],
        },
        {
            "job_id": "train",
            "command": "python train.py --data /data/processed --epochs 100 --output /models",
            "retry_count": 1,
            "timeout": "4h",
            "depends_on": ["preprocess"],
            "result_files": ["/models/model.pth", "/models/metrics.json"],
        },
        {
            "job_id": "export",
            "command": "python export.py --model /models/model.pth",
            "retry_count": 2,
            "timeout": "30m",
            "depends_on": ["train"],
            "result_files": ["/exports/model.onnx"],
        },
    ],
}
"""The short dialect, as on the manual page."""

LONG_PIPELINE: dict[str, Any] = {
    "$schema": "./queue.schema.json",
    "queue_name": "Nightly training",
    "jobs": [
        {
            "job_id": "fetch",
            "command": "./fetch.sh",
            "timeout": "1h 30m",
            "retry": {
                "max_attempts": 5,
                "backoff": "exponential",
                "delay": "5s",
                "max_delay": "2m",
                "jitter": True,
                "dont_retry_on_codes": [2, 64],
            },
            "env": {"TOKEN": "${HUB_TOKEN}", "PRICE": "5$ or $X"},
            "result_paths": ["out/**/*.csv", "/var/out/"],
            "working_directory": "fetch",
        },
        {
            "job_id": "report",
            "command": "./report.sh",
            "depends_on": ["fetch"],
            "retry": {"max_attempts": 2, "backoff": "fixed", "base_delay": "0s"},
        },
    ],
    "global_timeout": "2d",
    "on_failure": "continue",
    "max_parallel": 4,
    "durability": "s3",
    "upload_wait": "0s",
    "kill_grace": "5s",
    "result_s3_bucket": "team-results",
    "result_s3_prefix": "vision/nightly/",
}
"""The long dialect with every top-level field."""


def read(value: object, *, base: str = "/home/ada") -> QueueConfig:
    """Parse a JSON value or a file's bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_config(data, base_directory=base, name="pipeline.json")


def problems(value: object) -> list[str]:
    """Return the problems of a configuration as text."""
    with pytest.raises(InvalidConfig) as caught:
        read(value)
    return [str(problem) for problem in caught.value.problems]


def with_job(**fields: object) -> dict[str, Any]:
    """A queue of one job `a` with these fields added or replaced."""
    return {"jobs": [{"job_id": "a", "command": "true", **fields}]}


def with_queue(**fields: object) -> dict[str, Any]:
    """A queue of one job `a` with these top-level fields."""
    return {**with_job(), **fields}


def only_job(**fields: object) -> JobConfig:
    """Return the only job, parsed."""
    return read(with_job(**fields)).jobs[0]


def chain(*job_ids: str, **depends_on: list[str]) -> dict[str, Any]:
    """A queue of jobs with these dependencies."""
    return {
        "jobs": [
            {"job_id": job_id, "command": "true", "depends_on": depends_on.get(job_id, [])}
            for job_id in job_ids
        ]
    }
