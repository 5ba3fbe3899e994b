"""Recordings of any length through an encoder: decoding ahead, cutting into windows, vectors of windows and the whole.

Nothing here knows what an encoder is made of.
"""
