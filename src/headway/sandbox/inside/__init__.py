"""What runs outside the server: standard library only, no Headway import, any Python from 3.9."""
