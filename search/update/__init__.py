"""Bringing an index up to date: finding files, reading their metadata, embedding what changed."""
