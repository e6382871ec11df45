"""Command line `tasteprint`: songs in, Parquet or JSON out, here or by a service."""
