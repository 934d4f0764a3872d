"""How good is it? Metrics, splits, protocol, calibration: scores in, reports out; no model is known here."""
