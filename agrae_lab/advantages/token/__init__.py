"""Token links: advantages [P, G] → [P, G, T], one value a token. One file each."""
