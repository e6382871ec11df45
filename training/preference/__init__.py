"""Encoders trained to say who likes a clip: its vector is near those of users who do."""
