"""The imperative shell on the instance: processes, output, and the loop that drives the log."""
