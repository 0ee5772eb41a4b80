"""Problems that only all jobs together show."""

import pytest
from tests.unit.config.samples import chain, problems, read

LONG = 100_000


def test_an_unknown_dependency_is_reported_with_the_closest_job() -> None:
    assert problems(chain("preprocess", "train", train=["preproces"])) == [
        "jobs[1].depends_on[0]: there is no job 'preproces'; did you mean 'preprocess'?"
    ]
    assert problems(chain("Pre-Process", "train", train=["pre_process"])) == [
        "jobs[1].depends_on[0]: there is no job 'pre_process'; did you mean 'Pre-Process'?"
    ]


def test_without_a_close_job_a_few_jobs_are_listed() -> None:
    assert problems(chain("a", "b", b=["zebra"])) == [
        "jobs[1].depends_on[0]: there is no job 'zebra'; the jobs are 'a', 'b'"
    ]
    many = problems(chain(*(f"job-{index}" for index in range(9)), "b", b=["zebra"]))
    assert many == [
        "jobs[9].depends_on[0]: there is no job 'zebra'; add the job, or remove the dependency"
    ]


def test_a_duplicate_job_id_is_reported_with_both_places() -> None:
    assert problems(chain("a", "b", "a")) == [
        "jobs[2].job_id: 'a' is already the id of jobs[0]; give each job a unique id"
    ]


def test_job_ids_that_differ_only_in_case_are_two_jobs() -> None:
    assert [job.job_id for job in read(chain("a", "A")).jobs] == ["a", "A"]


def test_a_job_that_depends_on_itself_is_named() -> None:
    assert problems(chain("a", a=["a"])) == [
        "jobs[0].depends_on[0]: a job cannot depend on itself; remove it"
    ]


def test_a_duplicate_dependency_is_reported_with_both_places() -> None:
    assert problems(chain("a", "b", b=["a", "a"])) == [
        "jobs[1].depends_on[1]: 'a' is already listed at jobs[1].depends_on[0]; remove one"
    ]


def test_a_cycle_is_shown_as_a_path() -> None:
    assert problems(chain("x", "a", "b", "c", x=["a"], a=["b"], b=["c"], c=["a"])) == [
        "jobs[1].depends_on: circular dependency: a → b → c → a; remove one of these dependencies"
    ]


def test_a_long_cycle_is_shortened() -> None:
    ids = [f"job-{index}" for index in range(100)]
    ring = {job_id: [ids[index - 1]] for index, job_id in enumerate(ids)}
    (problem,) = problems(chain(*ids, **ring))
    assert "job-0 → job-99 → job-98" in problem
    assert "(91 more) → job-1 → job-0" in problem


def test_a_dependency_on_a_job_with_an_invalid_id_is_not_another_problem() -> None:
    (problem,) = problems(chain("my job", "b", b=["my job"]))
    assert problem.startswith("jobs[0].job_id: 'my job' cannot be a job id")


@pytest.mark.gate
def test_a_chain_of_a_hundred_thousand_jobs_is_read_without_recursion() -> None:
    jobs: list[dict[str, object]] = [
        {"job_id": f"job-{index}", "command": "true", "depends_on": [f"job-{index + 1}"]}
        for index in range(LONG)
    ]
    jobs[-1]["depends_on"] = []
    assert len(read({"jobs": jobs}).jobs) == LONG


@pytest.mark.gate
def test_a_hundred_thousand_unknown_dependencies_are_all_reported() -> None:
    jobs = [
        {"job_id": f"job-{index}", "command": "true", "depends_on": [f"jub-{index}"]}
        for index in range(LONG)
    ]
    assert len(problems({"jobs": jobs})) == LONG
