"""The kinds of datasets that a config can name."""
