"""Accuracy on corrupted test images: noise, blur, contrast, brightness, JPEG, rotation, shear, inversion and flips."""
