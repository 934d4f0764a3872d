"""Where a graph is kept: one protocol, several engines."""
