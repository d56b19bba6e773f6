"""headway.yaml to a typed specification."""
