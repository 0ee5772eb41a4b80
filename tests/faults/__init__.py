"""Object stores that fail, and machines that take a queue from each other."""
