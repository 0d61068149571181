"""Shifted test images: accuracy, and whether predictions stay the same."""
