"""Grad-CAM, integrated gradients and occlusion on fixed test images, each with three sanity checks."""
