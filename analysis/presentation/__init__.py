"""Presentation: style, captions, table layout, and rendering to files."""
