"""Encoders trained to tell the labels of a clip."""
