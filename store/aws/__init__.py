"""Everything that asks AWS, or that an instance is made of."""
