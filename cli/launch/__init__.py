"""`spawn launch`: check everything, create what is missing, start one instance, or roll back."""
