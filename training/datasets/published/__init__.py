"""Readers of published data sets, a module each, and each from its own layout."""
