"""What every room speaks: errors, items, settings, the model registry, small helpers."""
