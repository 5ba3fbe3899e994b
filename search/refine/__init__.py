"""Answers that learn from marks: what people marked, classifiers on stored vectors, and named searches.

No model runs here.
"""
