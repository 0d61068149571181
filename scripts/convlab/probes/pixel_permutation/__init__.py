"""Shuffled pixels: the same models trained on images whose pixels all stand in another, fixed order."""
