"""Builds a dual encoder from a recipe's model section: new and pretrained towers, adapters.

Only this room and the trainer import model classes.
"""
