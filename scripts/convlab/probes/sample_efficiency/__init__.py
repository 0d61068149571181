"""Fewer training images: accuracy on nested subsets, trained for equally many steps."""
