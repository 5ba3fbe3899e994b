"""How an encoder computes: names of precisions, what a machine has, towers in half precision."""
