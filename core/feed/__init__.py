"""The feed's protocol: requests and answers, without I/O."""
