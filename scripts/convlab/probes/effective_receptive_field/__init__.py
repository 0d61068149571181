"""Effective receptive field: how far from its centre a unit of the last feature map really depends on the pixels."""
