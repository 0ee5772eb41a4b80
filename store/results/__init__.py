"""Result files: listed when a job completes, uploaded, downloaded and restored."""
