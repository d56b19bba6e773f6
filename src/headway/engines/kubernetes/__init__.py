"""Attempts as pods of a Kubernetes cluster."""
