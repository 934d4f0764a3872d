"""Several interaction models as one, fitted on what each says of pairs that it has not seen."""
