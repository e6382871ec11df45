"""Training and evaluation of an encoder on item factors."""
