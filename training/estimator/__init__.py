"""Training and evaluation of encoders on item factors."""
