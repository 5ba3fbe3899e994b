"""Training of the moment head: rows of frames and queries, its losses, and its runs."""
