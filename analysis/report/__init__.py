"""Report of a study: its content (result.py), shown on the terminal, as Markdown and as HTML."""
