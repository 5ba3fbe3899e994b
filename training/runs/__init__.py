"""Whole runs: stages in order, what a stage learns from, run directories, ablations, a run's report.

These modules put the other rooms together; no other room of training imports them.
"""
