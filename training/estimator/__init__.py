"""Training of encoders on item factors."""
