"""Command `mine`: from songs and plays to a served model."""
