"""From a question to ranked answers: vectors of questions, filters, names, ranking.

Nothing here writes to an index.
"""
