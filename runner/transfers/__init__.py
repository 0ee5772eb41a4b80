"""Files on their way to the object store and back."""
