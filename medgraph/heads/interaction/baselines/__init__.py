"""Plain models that any interaction head must beat, and what they compare drugs and targets by."""
