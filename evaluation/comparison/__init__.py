"""Comparison of any number of systems on one split: what is measured of each, kept, and set against another.

Anything that is about several systems at once comes in here; how it is printed lies in `reports/`.
"""
