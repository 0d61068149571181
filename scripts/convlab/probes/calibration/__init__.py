"""Loss, Brier score and calibration error of every variant."""
