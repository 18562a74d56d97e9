"""Recommender experts: popularity, echo, EASE, content similarity."""
