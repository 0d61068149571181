"""Earlier states of a study, and what changed between two."""
