"""Embedding on CPU cores: a process for each core, with a decoder and the model."""
