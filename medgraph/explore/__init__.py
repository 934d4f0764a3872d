"""Looking at a graph and at an embedding."""
