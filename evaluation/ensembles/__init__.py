"""Ensembles of encoders: ensemble files, and weights found on a validation split."""
