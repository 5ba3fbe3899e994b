"""Moments: spans of recordings that a question describes, how they are found, and the files they are written to."""
