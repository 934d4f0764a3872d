"""A graph or code sequences in, vectors out."""
