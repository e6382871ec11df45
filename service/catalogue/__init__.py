"""The catalogue that `/similar` searches."""
