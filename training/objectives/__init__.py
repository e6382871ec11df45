"""Training of encoders by groups of crops: which clips are a group, and the loss of a group."""
