"""Model families, one module each: found by its name, which is the value of ``family`` in a config."""
