"""What a user writes in a config file, checked and expanded into a plan."""
