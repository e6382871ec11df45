"""Network architectures: the encoders, their registry, task models, and inference over rows."""
