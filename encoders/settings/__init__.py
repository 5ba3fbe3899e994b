"""Settings of the computation: names of precisions, the machine's features, towers in half precision."""
