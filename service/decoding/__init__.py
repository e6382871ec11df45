"""Audio decoding in sandboxed worker processes."""
