"""Moments: spans of recordings that a query describes, how they are found, and the files they are written to."""
