"""Comparison of any number of systems on one split: what is measured of each, kept, and set against another.

Code that compares several systems belongs here; code that prints the comparison is in `reports/`.
"""
