"""Wishes in loose words with graded candidates: what no hard filter expresses, and whether a reranker helps with it."""
