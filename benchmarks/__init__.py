"""Benchmarks of the service: each prints ratios of figures measured side by side in one run."""
