"""Engines: ways to compute a tower's vectors on a machine, and the choice between them."""
