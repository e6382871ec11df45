"""User vectors from listening logs alone: a network on histories, its training and evaluation."""
