"""What a run is: the fields of a recipe, its YAML files, and reading them into checked stages.

It imports neither torch nor data sources.
"""
