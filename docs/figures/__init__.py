"""Figures of the documentation, each with its data and the script that draws it."""
