"""Endpoints as pods: a Deployment and a Service each, with the same front and scorers as on one machine."""
