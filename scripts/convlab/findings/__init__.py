"""Sentences of the report, each with the numbers that it quotes."""
