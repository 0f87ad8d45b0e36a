"""Base links: rewards [P, G] → advantages [P, G]. One file each; a base link is also a preset of its own name."""
