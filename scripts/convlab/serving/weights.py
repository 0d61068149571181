"""A model's weights as a safetensors file: named arrays, and nothing that is unpickled or run when it is read."""

from pathlib import Path

import numpy as np

from convlab.common.files import atomic
from convlab.errors import UserError


def write_weights(model, path: Path) -> None:
    """Write every weight of a Keras model under its path, such as ``conv_1/kernel``, in Keras' layout (HWIO)."""
    from safetensors.numpy import save_file

    arrays = map(np.ascontiguousarray, model.get_weights())
    weights = dict(zip((variable.path for variable in model.weights), arrays, strict=True))
    if len(weights) < len(model.weights):
        raise UserError(
            "two weights of this model have the same name, so that no safetensors file can hold them; give its layers "
            "other names, or leave safetensors out of deploy.formats"
        )
    with atomic(path) as temporary:
        save_file(weights, temporary)


def load_weights(model, path: Path) -> None:
    """Set every weight of a model of the same architecture to the array of its path."""
    from safetensors.numpy import load_file

    weights = load_file(path)
    for variable in model.weights:
        variable.assign(weights[variable.path])
