"""Evaluating trained models: probabilities, metrics, agreement, latency."""
