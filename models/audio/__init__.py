"""From an audio file to a model's input window."""
