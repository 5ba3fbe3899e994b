"""Storage of an index: the table of windows, its snapshot, approximate index, waiting files, the record, the lock.

Nothing here embeds a sound or ranks a result.
"""
