"""Training a run: recipe, network, loop, store of finished runs."""
