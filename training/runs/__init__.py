"""Whole runs: stages in order, what a stage learns from, run directories, ablations, a run's report.

These modules combine the other rooms; no other room of training imports them.
"""
