"""A study as one notebook that needs Keras, NumPy and Matplotlib, and nothing of convlab."""
