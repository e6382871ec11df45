"""Benchmarks of the catalogue: hubs, the search, and embedding a folder of songs."""
