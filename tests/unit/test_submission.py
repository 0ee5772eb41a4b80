"""Configurations as events."""

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.support.arbitrary import of
from tests.support.configs import job, queue
from tests.support.logs import LogBuilder, submission
from tests.support.soak import scaled

from spawn.core.config import canonical
from spawn.core.config.model import QueueConfig
from spawn.core.config.parser import MAX_JOB_BYTES
from spawn.core.domain.codec import MAX_LINE
from spawn.core.domain.events import JobsSubmitted, QueueSubmitted
from spawn.core.domain.replay import Replay
from spawn.core.domain.submission import config_sha256, submit


def _replayed(config: QueueConfig) -> tuple[LogBuilder, Replay]:
    log = LogBuilder()
    log.add(*submission(config))
    return log, log.replay()


def _whole(fold: Replay) -> QueueConfig:
    jobs = tuple(job.config for job in fold.state.jobs.values())
    return structs.replace(fold.state.config, jobs=jobs)


def test_a_small_configuration_is_one_event() -> None:
    (event,) = _replayed(queue(job("a"), job("b", "a")))[0].events
    assert isinstance(event.data, QueueSubmitted)


def test_many_jobs_are_split_into_lines_within_the_limit_and_replay_identically() -> None:
    config = queue(*(job(f"job-{n:04}", environment={"N": str(n)}) for n in range(3000)))
    log, fold = _replayed(config)
    assert len(log.entries) > 3
    assert max(len(line) for _, line, _ in log.entries) <= MAX_LINE
    assert all(isinstance(event.data, JobsSubmitted) for event in log.events[1:])
    assert _whole(fold) == config
    assert fold.state.order == [each.job_id for each in config.jobs]
    assert config_sha256(_whole(fold)) == fold.state.config_sha256 == config_sha256(config)


def test_the_largest_jobs_of_a_file_fit_their_lines() -> None:
    empty = canonical.encoded_job_size(job("a", command=""))
    jobs = [job(name, command='"' * ((MAX_JOB_BYTES - empty) // 2)) for name in "abcd"]
    assert MAX_JOB_BYTES - 1 <= canonical.encoded_job_size(jobs[0]) <= MAX_JOB_BYTES
    config = queue(*jobs, queue_name="é" * 200, result_s3_prefix="p" * 512)
    log, fold = _replayed(config)
    assert len(log.entries) == 4
    assert _whole(fold) == config


def test_a_job_may_precede_a_dependency_in_a_later_line() -> None:
    jobs = [job("last", "job-0999"), *(job(f"job-{n:04}", command="x" * 500) for n in range(1000))]
    log, fold = _replayed(queue(*jobs))
    assert len(log.entries) > 2
    assert fold.state.jobs["last"].open_dependencies == 1


def test_the_hash_covers_the_canonical_form_including_jobs() -> None:
    config = queue(job("a"), max_parallel=2)
    assert config_sha256(config) == sha256(canonical.encode_config(config)).hexdigest()
    assert config_sha256(config) != config_sha256(queue(job("b"), max_parallel=2))


@settings(max_examples=scaled(25, 60), deadline=None)
@given(st.lists(of(str), max_size=8), of(QueueConfig))
def test_any_configuration_replays_to_itself(names: list[str], other: QueueConfig) -> None:
    jobs = tuple(job(f"j{n}", command=name[:3] * 2500) for n, name in enumerate(names))
    config = structs.replace(other, jobs=jobs)
    fold = _replayed(config)[1]
    assert _whole(fold) == config


def test_a_file_whose_name_is_not_utf_8_can_be_submitted() -> None:
    name = b"caf\xe9.json".decode("utf-8", "surrogateescape")
    log = LogBuilder()
    log.add(*submit(queue(job("a")), file=name, file_sha256="0" * 64, version="0.1.0"))
