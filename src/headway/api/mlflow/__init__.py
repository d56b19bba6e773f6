"""The MLflow wire and nothing but the wire."""
