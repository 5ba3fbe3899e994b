"""Recipes, losses over processes, the trainer, and what runs them."""
