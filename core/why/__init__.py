"""Why a job is where it is: the causes of a wait, a retry, a block or a failure, from the log."""
