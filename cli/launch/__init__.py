"""`spawn launch`: look at all, make what is missing, start one instance; or leave no costs."""
