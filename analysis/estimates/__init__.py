"""Estimates of a study with their intervals: Pass@k and maj@k curves, per-step series, pairwise differences."""
