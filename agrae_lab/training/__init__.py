"""The shared trainer: the only room that imports trl."""
