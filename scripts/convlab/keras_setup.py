"""Import TensorFlow and Keras once, quickly and quietly. Every script that needs them imports this module first."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

# Keras imports these when they are there, for features that no stage uses in the process that trains: without them the
# import takes 1.9 s of CPU instead of 3.4 s and 130 MB less. A job that wants one imports it before this module.
_OPTIONAL = ("matplotlib", "pandas", "scipy", "sklearn")
_hidden = [name for name in _OPTIONAL if name not in sys.modules]
sys.modules.update(dict.fromkeys(_hidden))

import keras
import tensorflow as tf

for _name in _hidden:
    del sys.modules[_name]

tf.get_logger().setLevel("ERROR")


def use_threads(count: int) -> None:
    """Use ``count`` threads, before the first operation. Results are the same bytes for the same count only."""
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


def grow_gpu_memory() -> None:
    """Let TensorFlow take a GPU's memory as it needs it, so that several runs can share a device."""
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)


__all__ = ["grow_gpu_memory", "keras", "tf", "use_threads"]
