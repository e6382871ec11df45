"""Evaluation of encoders on held-out artists: metrics, baselines, intervals, reports."""
