"""Statistics: intervals, tests and estimators from counts of correct samples and from per-step values."""
