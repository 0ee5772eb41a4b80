"""Result files: found when a job completes, and brought to the object store."""
