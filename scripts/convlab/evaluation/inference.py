"""Inference with a trained model: class probabilities and latency."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from convlab.common import checksums
from convlab.common.files import missing
from convlab.models.user_code import UserCode
from convlab.runtime.keras_runtime import BACKEND, keras, tf

BATCH_SIZE = 250
"""Batch size for inference."""


def load(path: Path, code: UserCode | None = None):
    """Load a ``.keras`` file; safe mode refuses files that carry code.

    ``code`` is the user's file by which the model was built, if it was: its layer classes are registered by importing
    it. A file that is missing, damaged, or not what training wrote, is a UserError that names it.
    """
    checksums.verify(path)
    if not path.exists():
        raise missing(path)
    if code is not None:
        with code.importing():
            pass
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # Keras, zipfile and HDF5 raise a dozen types for a damaged file
        reason = " ".join(str(error).split())[:300]
        raise checksums.damaged(path, f"Keras {keras.__version__} cannot load it: {reason}") from None


def _compiled(model, **options) -> Callable[[np.ndarray], np.ndarray]:
    """The model as a compiled function of a batch of uint8 images, by the backend's own compiler."""
    if BACKEND != "tensorflow":
        return model.predict_on_batch
    forward = tf.function(lambda batch: model(batch, training=False), **options)
    return lambda batch: forward(tf.constant(batch)).numpy()


def predictor(model) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 images (n, height, width, channels) to class probabilities, float32 (n, classes)."""
    forward = _compiled(model, reduce_retracing=True)

    def predict(images: np.ndarray) -> np.ndarray:
        parts = [forward(images[start : start + BATCH_SIZE]) for start in range(0, len(images), BATCH_SIZE)]
        return np.concatenate(parts).astype(np.float32)

    return predict


def latency_ms(model, images: np.ndarray, calls: int = 60, warm_up: int = 10) -> dict[str, float]:
    """Time of one image at a time through a compiled model, in ms: quantiles over ``calls`` after ``warm_up``."""
    forward = _compiled(model)
    batches = [images[i % len(images)][None] for i in range(calls + warm_up)]
    seconds = []
    for batch in batches:
        begin = time.perf_counter()
        forward(batch)
        seconds.append(time.perf_counter() - begin)
    p50, p90, p99 = np.quantile(np.array(seconds[warm_up:]) * 1e3, [0.5, 0.9, 0.99])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "calls": calls}
