"""Moment retrieval: queries with true moments, predicted spans, their files and their evaluation.

The measures themselves are pure functions in `evaluation/metrics/moment_metrics.py`. Anything that finds
moments in audio is in `search/`.
"""
