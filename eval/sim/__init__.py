"""Simulated users: who they are, what they say, and how a conversation with an agent is judged."""
