"""What the page sends of a sound: the file or a WAV file of it, the moment alone, and pictures of it."""
