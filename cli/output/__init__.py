"""How reports, listings and errors are shown."""
