"""The learning rate of each step: constant, warm-up, cosine, one-cycle and piecewise constant schedules."""

import math

from convlab.runtime.keras_runtime import keras
from convlab.training.recipe import ONE_CYCLE_WARMUP, Training

ops = keras.ops


def rates(training: Training, steps: int) -> "float | Schedule":
    """What the optimizer of a run of so many ``steps`` takes as its learning rate: a number where it is constant."""
    return training.learning_rate if training.has_constant_rate else Schedule(training, steps)


def rate_at(rate: "float | Schedule", step: int) -> float:
    """The learning rate of a step, counted from 0."""
    return rate if isinstance(rate, float) else float(ops.convert_to_numpy(rate(step)))


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate as a function of the step alone, so that a resumed run goes on where it was.

    With N steps, of which the first W warm up, step s (from 0) has learning_rate times

    - (s + 1) / W for s < W, with every schedule; then
    - cosine: (1 + cos(pi (s - W) / (N - W))) / 2 (Loshchilov and Hutter 2017, without restarts);
    - one_cycle: (N - s) / (N - W) (Smith and Topin 2019, with the descent taken to 0);
    - piecewise: the factor of the last boundary b with s >= b N, else 1; constant: 1.
    """

    def __init__(self, training: Training, steps: int) -> None:
        share = ONE_CYCLE_WARMUP if training.schedule == "one_cycle" else 0.0
        share = share if training.warmup is None else training.warmup
        self.training, self.steps = training, steps
        self.warmup = min(round(share * steps), steps - 1)

    def __call__(self, step):
        step = ops.cast(step, "float32")
        factor = self._after_warmup(step)
        if self.warmup:
            factor = ops.where(step < self.warmup, (step + 1) / self.warmup, factor)
        return ops.cast(self.training.learning_rate * factor, "float32")

    def _after_warmup(self, step):
        """Factor of the learning rate at a step that does not warm up."""
        progress = (step - self.warmup) / (self.steps - self.warmup)
        if self.training.schedule == "cosine":
            return (1 + ops.cos(math.pi * progress)) / 2
        if self.training.schedule == "one_cycle":
            return 1 - progress
        factor = ops.ones_like(step)
        if self.training.schedule == "piecewise":
            for boundary, value in zip(self.training.schedule_boundaries, self.training.schedule_factors, strict=True):
                factor = ops.where(step >= round(boundary * self.steps), value, factor)
        return factor
