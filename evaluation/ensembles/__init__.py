"""Several encoders used as one: ensemble files, and weights found on a validation split."""
