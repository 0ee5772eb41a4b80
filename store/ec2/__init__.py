"""What a launch asks AWS for: each file one kind of thing, found by name and tag or made."""
