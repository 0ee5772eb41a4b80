"""The transition tables, generated from `core.machine` by `make docs`; do not edit.

Each maps a state and an event to the next state. A test compares them with the machines.
"""

JOB_MOVES: dict[str, dict[str, str]] = {
    "pending": {
        "JobBlocked": "blocked",
        "JobStarted": "running",
    },
    "running": {
        "JobCompleted": "completed",
        "JobFailed": "failed",
        "JobInterrupted": "pending",
        "JobRetryScheduled": "retrying",
    },
    "completed": {
        "JobReset": "pending",
        "ResultsDelayed": "completed",
        "ResultsUploadFailed": "completed",
        "ResultsUploaded": "completed",
    },
    "failed": {
        "JobReset": "pending",
    },
    "retrying": {
        "JobStarted": "running",
    },
    "blocked": {
        "JobUnblocked": "pending",
    },
}

QUEUE_MOVES: dict[str, dict[str, str]] = {
    "pending": {
        "JobsSubmitted": "pending",
        "QueueFailed": "failed",
        "QueueStarted": "running",
    },
    "running": {
        "JobBlocked": "running",
        "JobCompleted": "running",
        "JobFailed": "running",
        "JobInterrupted": "running",
        "JobReset": "running",
        "JobRetryScheduled": "running",
        "JobStarted": "running",
        "JobUnblocked": "running",
        "JobsSubmitted": "running",
        "QueueCompleted": "completed",
        "QueueFailed": "failed",
        "QueueInterrupted": "interrupted",
        "QueueReconfigured": "running",
        "QueueResumed": "running",
        "ResultsDelayed": "running",
        "ResultsUploadFailed": "running",
        "ResultsUploaded": "running",
    },
    "completed": {},
    "failed": {
        "QueueResumed": "running",
    },
    "interrupted": {
        "QueueFailed": "failed",
        "QueueResumed": "running",
    },
}
