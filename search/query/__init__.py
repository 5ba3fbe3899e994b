"""From a query to ranked results: vectors of queries, filters, names, ranking.

Nothing here writes to an index.
"""
