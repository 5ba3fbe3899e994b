"""What a run is: the fields of a recipe, its YAML files, and reading them into checked stages.

No torch and no data set comes in here.
"""
