"""Reduced precision: int8 and float16 graphs of a bundle."""
