"""The catalogue, linking, recommender models and the tools the planner may call."""
