"""Files on disk: JSON and directories that a kill never leaves half written, CSV cells that no spreadsheet runs.

Nothing of sound or models comes in here.
"""
