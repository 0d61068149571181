"""Where images come from: one module per kind of dataset, and what all kinds share."""
