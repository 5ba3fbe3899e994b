"""Teacher banks: vectors of a dataset, made once with all processes of a job, kept by content, found again by row.

Anything that lets training learn from a model without loading it comes in here.
"""
