"""Losses as pure functions, their weights, and gathering embeddings over processes.

No code about recipes or files belongs here.
"""
