"""Files on disk: JSON and directories that a kill never leaves half written, CSV cells that no spreadsheet runs.

Also the rule by which names of files are compared, metadata files beside sounds, and which files are passed over.

Nothing of sound or models comes in here.
"""
