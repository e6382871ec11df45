"""Data loader and training loop shared by all networks."""
