"""Updates an index: finds files, reads their metadata, embeds changed ones."""
