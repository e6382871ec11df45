"""The encoders, one a file."""
