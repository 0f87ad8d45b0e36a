"""Planning: frozen configs, study directories, and drift of code, configs and data since they were frozen."""
