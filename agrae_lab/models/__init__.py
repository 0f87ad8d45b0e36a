"""Models: how a policy and its tokenizer are loaded, and the nano model that ships with the project."""
