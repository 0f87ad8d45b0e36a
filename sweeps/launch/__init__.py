"""Launch of experiments (cells.py) and of studies (study.py): plan, freeze, execute, summarise."""
