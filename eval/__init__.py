"""Data sets, protocols, metrics and reports."""
