"""Sample-level links: how much a prompt counts, by its success rate p. One file each."""
