"""Whether a failed job is tried again, and how long it waits before that."""

from spawn.core.config.model import RetryPolicy

TIMED_OUT = 124
"""The exit code of an attempt that ran into its timeout, as GNU timeout gives it."""

GROWTH = 3.0
"""What each further failure multiplies an exponential delay by: 10 s, 30 s, 90 s."""

HOPELESS = {
    126: "the command cannot be executed",
    127: "the command was not found",
}
"""Exit codes that the next attempt would give again, unless `retry_on_codes` lists them."""

_MOST_STEPS = 100
"""Even a delay of a millisecond is past every cap by then, and a float is not near its end."""


def delay(policy: RetryPolicy, failures: int, fraction: float) -> float:
    """Say how long to wait before the next attempt.

    `fixed` is `base_delay`; `exponential` is `base_delay`, then 3 and 9 times it, and so on;
    `exponential-jitter` is a random share of that, between a half and the whole: jobs that failed
    together come back apart, and none of them at once. All are capped at `max_delay`.

    Args:
        failures: Failures so far that were the job's own, 1 or more.
        fraction: A random number from 0 up to but not including 1; only jitter uses it.

    Returns:
        Seconds, 0 to `max_delay`.
    """
    if policy.backoff == "fixed":
        return min(policy.base_delay, policy.max_delay)
    grown = policy.base_delay * GROWTH ** min(failures - 1, _MOST_STEPS)
    wait = min(grown, policy.max_delay)
    if policy.backoff == "exponential-jitter":
        return wait * (0.5 + fraction / 2)
    return wait


def why_final(policy: RetryPolicy, *, failures: int, exit_code: int, timed_out: bool) -> str | None:
    """Say why a failure is the last one, or None when the job may be tried again.

    A timeout is judged as exit code 124, by the same lists.

    Args:
        failures: Failures so far that were the job's own, this one included.
        exit_code: As bash gives it: 1 to 255, death by a signal `128+n`.
    """
    code = TIMED_OUT if timed_out else exit_code
    if failures >= policy.max_attempts:
        hopeless = f": {HOPELESS[code]}" if code in HOPELESS else ""
        return f"no attempts left ({failures} of {policy.max_attempts}){hopeless}"
    name = f"a timeout (exit code {code})" if timed_out else f"exit code {code}"
    if code in policy.dont_retry_on_codes:
        return f"{name} is not retried: dont_retry_on_codes lists it"
    if policy.retry_on_codes and code not in policy.retry_on_codes:
        listed = ", ".join(map(str, policy.retry_on_codes))
        return f"{name} is not retried: retry_on_codes lists only {listed}"
    if code in HOPELESS and code not in policy.retry_on_codes:
        return f"{name} is not retried: {HOPELESS[code]}"
    return None
