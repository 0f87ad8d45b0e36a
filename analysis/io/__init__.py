"""Input: run directories and their Parquet files → checked frames."""
