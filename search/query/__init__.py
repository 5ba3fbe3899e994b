"""Answers queries: embeds queries, filters files, matches names and ranks results.

Nothing here writes to an index.
"""
