"""Files on disk: JSON and directories that a kill never leaves half written, CSV cells that no spreadsheet runs.

Also the comparison of file names, metadata files next to audio files, which files are skipped, digests
of contents that are computed once, and the lock of a directory.

No code about audio or models belongs here.
"""
