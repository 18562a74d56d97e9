"""Scripted scenarios: a user with typed wishes says them turn by turn; a program judges every list that comes back."""
