"""Where attempts run to completion."""
