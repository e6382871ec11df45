"""Benchmarks of training at the size of a streaming service; each is run by itself."""
