"""Training a run: recipe, network, loop, finished runs."""
