"""Similarity of what networks represent (CKA): between seeds, between layers, and between levels of an experiment."""
