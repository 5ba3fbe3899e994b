"""From a recipe's model section to a dual encoder: new and pretrained towers, adapters.

Only here and in the trainer does training know model classes.
"""
