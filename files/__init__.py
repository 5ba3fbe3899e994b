"""Files on disk: JSON and directories that a kill never leaves half written, CSV cells that no spreadsheet runs.

Also the rule by which names of files are compared, metadata files beside sounds, which files are passed over, digests
of contents that are computed once, and the lock of a directory.

Nothing of sound or models comes in here.
"""
