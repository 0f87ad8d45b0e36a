"""Specification of a sweep: studies, axes, experiments, composed configs, objectives."""
