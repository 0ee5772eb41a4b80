"""How a runner, and its machine, come to an end."""
