"""Containers: what they state, where their audio begins, and what a file is by its first bytes."""
