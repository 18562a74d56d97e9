"""Suites: behaviour of a whole agent, case by case, against stated thresholds."""
