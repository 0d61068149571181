"""Numbers, contrasts and claims in words: numbers in, text out."""
