"""Clusters of captions: their vectors, the methods, and the labels that rows get.

The loss on them is in `losses`.
"""
