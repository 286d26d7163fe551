"""scattermec."""
