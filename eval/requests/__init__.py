"""Labelled requests: what people type to the agent, what each should be read as, and how that is scored."""
