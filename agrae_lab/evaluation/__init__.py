"""Evaluation: n completions per problem, and greedy decoding, to `samples.parquet`."""
