"""Audio that the page sends: the file or a WAV conversion, the moment only, and pictures of it."""
