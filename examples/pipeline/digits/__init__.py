"""The parts that the programs of this pipeline share; standard library only."""
