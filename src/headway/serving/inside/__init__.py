"""What runs in the model's own Python: standard library only, no Headway import."""
