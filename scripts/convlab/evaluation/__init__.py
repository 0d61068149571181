"""What a trained model predicts: probabilities, metrics, agreement, latency."""
