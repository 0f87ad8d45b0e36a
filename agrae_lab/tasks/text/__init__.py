"""Tasks whose problems are text."""
