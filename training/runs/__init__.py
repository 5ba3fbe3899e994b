"""Whole runs: stages in order, a stage's inputs, run directories, ablations, a run's report.

These modules combine the other rooms; no other room of training imports them.
"""
