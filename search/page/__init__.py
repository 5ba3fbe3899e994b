"""The local page of an index: its contents, players, server and uploads."""
