"""Runtime settings that must precede the import of Keras: backend, GPU, threads."""
