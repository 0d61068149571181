"""Fast import of Keras and of the backend that ``convlab.runtime.backend`` configured.

With JAX or PyTorch TensorFlow is not imported and need not be installed; ``tf`` is None then.
"""

import gc
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module

from convlab.common.hidden_packages import hidden

log = logging.getLogger(__name__)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")

# Keras and TensorFlow import these when they are there, for features that no stage uses in the process that trains:
# without the first four the import takes 1.9 s of CPU instead of 3.4 s and 130 MB less. A job that wants one imports it
# before this module. The other backends need some of them.
_OPTIONAL = ("matplotlib", "pandas", "scipy", "sklearn", "jax") if BACKEND == "tensorflow" else ()


def _import_all() -> None:
    """Import Keras and its backend without the optional packages, or with them if a version needs one after all.

    Keras, which is pure Python, is then imported afresh; of TensorFlow, which ends the process when it is initialised
    twice, what had been imported stays.
    """
    try:
        with hidden(*_OPTIONAL) as absent:
            import_module("keras")
            import_module(BACKEND)
    except ImportError as error:
        log.info("importing Keras again, this time with %s: %s", ", ".join(absent), error)
        for name in [name for name in sys.modules if name.partition(".")[0] == "keras"]:
            del sys.modules[name]
        import_module("keras")
        import_module(BACKEND)


gc.disable()  # imports create no garbage; collecting costs a sixth to a third of the CPU
_import_all()

import keras

tf = sys.modules["tensorflow"] if BACKEND == "tensorflow" else None

gc.enable()
gc.freeze()  # exclude these objects from later collections

# Keras' defaults, whatever a settings file or another module has set before.
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")
keras.config.set_max_epochs(None)
keras.config.set_max_steps_per_epoch(None)
keras.config.set_dtype_policy("float32")
if BACKEND == "tensorflow":
    tf.get_logger().setLevel("ERROR")
elif BACKEND == "torch" and sys.modules["torch"].cuda.is_available():
    # The same seed gives the same bytes; what cannot be computed so is named in a warning.
    sys.modules["torch"].use_deterministic_algorithms(True, warn_only=True)


def use_threads(count: int) -> None:
    """Set the number of threads, before the first operation. Results are byte-equal for equal counts only."""
    if BACKEND == "tensorflow":
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    elif BACKEND == "torch":
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


def compiled(function: Callable) -> Callable:
    """A function of tensors, compiled with JAX, which otherwise runs it operation by operation; else as it is."""
    if BACKEND != "jax":
        return function
    import jax

    return jax.jit(function)


__all__ = ["BACKEND", "compiled", "device", "keras", "tf", "use_threads"]
