"""Embedders, vector stores, the preference memory, session storage."""
