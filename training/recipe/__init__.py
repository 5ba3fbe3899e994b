"""Recipes: their fields, their YAML files, and reading them into checked stages.

It imports neither torch nor data sources.
"""
