"""Catalogue of all estimators: facts of each, and the page docs/estimators.md made of them."""
