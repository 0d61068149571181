"""Import Keras and TensorFlow once, quickly and quietly, with the backend that ``convlab.backend`` has chosen.

TensorFlow is imported for every backend: the input pipeline is its ``tf.data``, which feeds all of them.
"""

import gc
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")

# Keras and TensorFlow import these when they are there, for features that no stage uses in the process that trains:
# without the first four the import takes 1.9 s of CPU instead of 3.4 s and 130 MB less. A job that wants one imports it
# before this module. The other backends need some of them.
_OPTIONAL = ("matplotlib", "pandas", "scipy", "sklearn", "jax") if BACKEND == "tensorflow" else ()
_hidden = [name for name in _OPTIONAL if name not in sys.modules]
sys.modules.update(dict.fromkeys(_hidden))
gc.disable()  # nothing that is imported goes away: looking for it takes a sixth to a third of the CPU

import keras
import tensorflow as tf

gc.enable()
gc.freeze()  # nor later
for _name in _hidden:
    del sys.modules[_name]

tf.get_logger().setLevel("ERROR")
if BACKEND != "tensorflow":
    tf.config.set_visible_devices([], "GPU")  # it only feeds the backend that computes


def use_threads(count: int) -> None:
    """Use ``count`` threads, before the first operation. Results are the same bytes for the same count only."""
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)
    if BACKEND == "torch":
        import torch

        torch.set_num_threads(count)


def device() -> str:
    """``GPU`` or ``CPU``: where the backend computes."""
    if BACKEND == "jax":
        import jax

        return jax.default_backend().upper()
    if BACKEND == "torch":
        import torch

        return "GPU" if torch.cuda.is_available() else "CPU"
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


__all__ = ["BACKEND", "device", "keras", "tf", "use_threads"]
