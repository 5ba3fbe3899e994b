"""Training of the moment head: rows of frames and questions, its losses, and its runs."""
