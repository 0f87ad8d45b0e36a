"""Statistics: pure functions of counts, accuracies and per-step values."""
