"""Task models over embeddings."""
