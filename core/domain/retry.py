"""Decide whether a failed job is retried, and after which delay."""

from spawn.core.config.model import RetryPolicy

TIMED_OUT = 124
"""The exit code of an attempt that timed out, as in GNU timeout."""

GROWTH = 3.0
"""The factor of an exponential backoff: 10 s, 30 s, 90 s."""

HOPELESS = {
    126: "the command cannot be executed",
    127: "the command was not found",
}
"""Exit codes that a retry cannot change: not retried unless `retry_on_codes` lists them."""

_MOST_STEPS = 100
"""Enough steps to exceed any `max_delay`, and few enough not to overflow a float."""


def delay(policy: RetryPolicy, failures: int, fraction: float) -> float:
    """Return the delay before the next attempt.

    `fixed` is `base_delay`; `exponential` is `base_delay`, then 3 and 9 times it, and so on;
    `exponential-jitter` is a random value between half of that and all of it, so that jobs that
    failed together are not retried at the same time. All are capped at `max_delay`.

    Args:
        failures: The job's own failures so far, 1 or more.
        fraction: A random number in [0, 1), used only for jitter.

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


def why_not_retried(
    policy: RetryPolicy, *, failures: int, exit_code: int, timed_out: bool
) -> str | None:
    """Return why a failed attempt is not retried; None if it is retried.

    A timeout counts as exit code 124 in `retry_on_codes` and `dont_retry_on_codes`.

    Args:
        failures: The job's own failures so far, including this one.
        exit_code: As in bash: 1 to 255, death by signal n is `128+n`.
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
