"""Collaborative filtering: listening logs to item factors."""
