"""Scikit-learn probes on an encoder's outputs."""
