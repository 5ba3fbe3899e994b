"""Metrics as pure functions: ranks, recall, average precision, bootstrap intervals, tiled similarities.

This room imports no other part of the package, so every room may use it.
"""
