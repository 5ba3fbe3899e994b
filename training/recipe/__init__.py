"""Recipes: their fields, their YAML files, and their checked stages.

It imports neither torch nor data sources.
"""
