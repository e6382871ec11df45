"""Pydantic models of queries and responses."""
