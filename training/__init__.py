"""Offline: listening logs and audio in, a verified bundle out."""
