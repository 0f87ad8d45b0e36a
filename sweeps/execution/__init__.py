"""Execution of runs: worker processes, retries, shutdown, display."""
