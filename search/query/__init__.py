"""From a question to ranked answers: vectors of questions, filters, names, ranking, moments.

Nothing here writes to an index.
"""
