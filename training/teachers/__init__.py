"""Teacher banks: vectors of a dataset, made once with all processes of a job, kept by content, found again by row.

Code that lets training learn from a model without loading it belongs here.
"""
