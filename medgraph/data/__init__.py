"""What flows through the house: graphs, schemas, identifiers."""
