"""Bytes by key: a folder, later S3."""
