"""Delays between attempts, and the end of retries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.core.config.model import Backoff, RetryPolicy
from spawn.core.domain import retry

SECONDS = st.floats(min_value=0, max_value=1000 * 86400)
FRACTIONS = st.floats(min_value=0, max_value=1, exclude_max=True)


def test_the_default_delays_are_10_30_and_90_seconds_and_at_most_5_minutes() -> None:
    policy = RetryPolicy(max_attempts=9)
    delays = [retry.delay(policy, failures, 0.9) for failures in range(1, 7)]
    assert delays == [10, 30, 90, 270, 300, 300]


def test_a_fixed_delay_is_constant_and_capped() -> None:
    policy = RetryPolicy(max_attempts=9, backoff="fixed", base_delay=20)
    assert [retry.delay(policy, failures, 0.9) for failures in (1, 2, 50)] == [20, 20, 20]
    capped = RetryPolicy(max_attempts=9, backoff="fixed", base_delay=20, max_delay=5)
    assert retry.delay(capped, 1, 0.9) == 5


def test_jitter_is_between_half_and_all_of_the_exponential_delay() -> None:
    policy = RetryPolicy(max_attempts=9, backoff="exponential-jitter")
    assert retry.delay(policy, 2, 0.0) == 15
    assert retry.delay(policy, 2, 0.5) == 22.5
    assert 29 < retry.delay(policy, 2, 0.999) < 30


@given(
    backoff=st.sampled_from(["exponential", "exponential-jitter", "fixed"]),
    base=SECONDS,
    most=SECONDS,
    failures=st.integers(1, 10**30),
    fraction=FRACTIONS,
)
def test_no_delay_is_negative_or_over_the_cap_however_many_failures(
    backoff: Backoff, base: float, most: float, failures: int, fraction: float
) -> None:
    policy = RetryPolicy(backoff=backoff, base_delay=base, max_delay=most)
    assert 0 <= retry.delay(policy, failures, fraction) <= most


@given(base=SECONDS, most=SECONDS, failures=st.integers(1, 200))
def test_an_exponential_delay_never_shrinks(base: float, most: float, failures: int) -> None:
    policy = RetryPolicy(base_delay=base, max_delay=most)
    assert retry.delay(policy, failures, 0) <= retry.delay(policy, failures + 1, 0)


def why(policy: RetryPolicy, exit_code: int, *, failures: int = 1, timed_out: bool = False) -> str:
    """Return the reason for no retry, or an empty text if the job is retried."""
    reason = retry.why_not_retried(
        policy, failures=failures, exit_code=exit_code, timed_out=timed_out
    )
    return reason or ""


def test_a_failure_with_budget_left_is_retried() -> None:
    assert why(RetryPolicy(max_attempts=3), 1, failures=2) == ""


@pytest.mark.parametrize(("failures", "attempts"), [(3, 3), (1, 1), (4, 3)])
def test_a_spent_budget_ends_the_retries(failures: int, attempts: int) -> None:
    policy = RetryPolicy(max_attempts=attempts)
    assert why(policy, 1, failures=failures) == f"no attempts left ({failures} of {attempts})"


@pytest.mark.parametrize(
    ("exit_code", "cause"),
    [(126, "the command cannot be executed"), (127, "the command was not found")],
)
def test_a_command_that_cannot_run_is_retried_only_if_its_code_is_listed(
    exit_code: int, cause: str
) -> None:
    assert why(RetryPolicy(max_attempts=3), exit_code) == (
        f"exit code {exit_code} is not retried: {cause}"
    )
    assert why(RetryPolicy(max_attempts=3, retry_on_codes=(exit_code,)), exit_code) == ""


def test_codes_listed_as_final_are_not_retried() -> None:
    policy = RetryPolicy(max_attempts=3, dont_retry_on_codes=(2, 3))
    assert why(policy, 2) == "exit code 2 is not retried: dont_retry_on_codes lists it"
    assert why(policy, 1) == ""


def test_if_codes_are_listed_for_retries_only_those_are_retried() -> None:
    policy = RetryPolicy(max_attempts=3, retry_on_codes=(75, 124))
    assert why(policy, 75) == ""
    assert why(policy, 1) == "exit code 1 is not retried: retry_on_codes lists only 75, 124"


def test_a_timeout_counts_as_exit_code_124_in_the_lists() -> None:
    assert why(RetryPolicy(max_attempts=3), 124, timed_out=True) == ""
    assert why(RetryPolicy(max_attempts=3, retry_on_codes=(124,)), 124, timed_out=True) == ""
    refused = RetryPolicy(max_attempts=3, dont_retry_on_codes=(124,))
    assert why(refused, 124, timed_out=True) == (
        "a timeout (exit code 124) is not retried: dont_retry_on_codes lists it"
    )
