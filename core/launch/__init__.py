"""What a launch makes in AWS: names, tags, rights and words. Nothing here asks anybody."""
