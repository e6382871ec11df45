"""Data loaders and the training loop that every network shares."""
