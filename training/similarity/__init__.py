"""Encoders trained to tell clips of one artist, album or track from other clips."""
