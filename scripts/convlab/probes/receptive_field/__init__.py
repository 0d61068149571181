"""Accuracy of convolutional variants against the receptive field of their last feature map."""
