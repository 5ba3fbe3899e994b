"""What is minimised: losses as pure functions, their weights, and gathering embeddings over processes.

No recipe and no file comes in here.
"""
