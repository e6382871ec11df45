"""MP3: the frames of a file, and the reader that decodes those of a window."""
