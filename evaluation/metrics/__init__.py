"""Figures as pure functions: ranks, recall, average precision, bootstrap intervals, tiled similarities.

Nothing else of the package may be imported here, so every room may use it.
"""
