"""A published system as one chain: a recipe of recipes, its plan, what it needs, and running it.

The modules are imported by their own names.
"""
