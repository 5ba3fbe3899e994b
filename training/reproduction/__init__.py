"""A published system as one chain: a recipe of recipes, its plan, its requirements, and running it.

The modules are imported by their own names.
"""
