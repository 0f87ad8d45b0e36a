"""Planning: frozen configs, study directories, and changes of code, configs and data since the freeze."""
