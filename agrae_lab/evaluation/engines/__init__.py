"""Engines that draw an evaluation's completions: one file each, and their common interface in base.py."""
