"""Measurements of the recommender on held-out artists."""
