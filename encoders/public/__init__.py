"""Encoders for public models, each loaded by the library that its authors published it for."""
