"""Planner, executor, reranker, reply writer and the turn loop."""
