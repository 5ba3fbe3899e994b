"""The local page of an index: what it shows, plays, serves and takes from visitors."""
