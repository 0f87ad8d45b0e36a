"""Group-level links: how correct and incorrect completions weigh against each other. One file each."""
