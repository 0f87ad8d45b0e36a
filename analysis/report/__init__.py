"""Report of a study: its content (result.py), and that content on the terminal, in Markdown and in HTML."""
