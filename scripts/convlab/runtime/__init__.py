"""What is settled before Keras is imported: backend, devices, threads."""
