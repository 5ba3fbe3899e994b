"""From tables to batches: splits, a row's sound and wording in an epoch, and the collator.

All randomness here is a function of seed, epoch and row.
"""
