"""Tasks whose problems hold images."""
