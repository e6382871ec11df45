"""Published weights: read from their original files, and exported as bundles."""
