"""Laws of estimators: their statements, the suite that tests them, and the check of a link in one's own file."""
