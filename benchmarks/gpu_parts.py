"""Parts of benchmarks/gpu.py that need Keras, each in a process of its own: the peak, accuracies, fused seeds.

gpu.py starts it with its own arguments, ``--part`` and ``--folder``; the result is the last line, as JSON.
"""

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gpu import command_line, planned_runs, run_name

from convlab.runtime import devices

PEAK_SIDE, PEAK_PRODUCTS = 8192, 20
"""Side of the square matrices by which a GPU's peak is measured, and how many products are timed."""

SMALL_PEAK_SIDE, SMALL_TEST_IMAGES, SMALL_FUSED_IMAGES = 1024, 500, 256
"""On a machine without a GPU."""


def main() -> None:
    parser = command_line()
    parser.add_argument("--part", choices=["float32", "bfloat16", "evaluate", "fused"], required=True)
    parser.add_argument("--folder", type=Path, help="with the rounds' models")
    print(json.dumps(part(parser.parse_args())))


def part(arguments: argparse.Namespace) -> Any:
    """The part that the command line names."""
    from convlab.runtime import backend

    backend.configure(arguments.backend, 1)  # before these import Keras
    from convlab.runtime.keras_runtime import use_threads

    use_threads(1)
    if arguments.part in ("float32", "bfloat16"):
        return {arguments.part: peak_flops(arguments.part)}
    if arguments.part == "evaluate":
        return evaluated(arguments.folder, arguments.data_dir)
    return {name: fused_seeds(name, arguments) for name in dict.fromkeys(name for name, _ in planned_runs(arguments))}


def peak_flops(dtype: str) -> float:
    """Operations per second of a large matrix product of random numbers; float32 as the backend does it."""
    import numpy as np

    from convlab.runtime.keras_runtime import compiled, device, keras

    ops = keras.ops
    on_gpu = device() == "GPU"
    side, products = (PEAK_SIDE, PEAK_PRODUCTS) if on_gpu else (SMALL_PEAK_SIDE, 3)
    product = compiled(ops.matmul)
    numbers = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
    first, second = (ops.cast(ops.convert_to_tensor(matrix), dtype) for matrix in numbers)
    for count in (1, products):  # the first one compiles
        begin = time.perf_counter()
        for _ in range(count):
            result = product(first, second)
        # Reading one number of the last product waits until the device has computed them all.
        float(ops.convert_to_numpy(ops.cast(result[0, 0], "float32")))
        seconds = time.perf_counter() - begin
    return 2 * side**3 * products / seconds


def evaluated(folder: Path, data_dir: Path) -> dict[str, dict[str, Any]]:
    """Of every run its test accuracy in the first round, and the SHA-256 of its weights in each."""
    import numpy as np

    from convlab.datasets import prepared
    from convlab.evaluation import inference

    images, labels = prepared.load_test(data_dir)
    if not devices.visible_gpus():
        images, labels = images[:SMALL_TEST_IMAGES], labels[:SMALL_TEST_IMAGES]
    results: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("round-*/*/seed-*/model.keras")):
        model = inference.load(path)
        digest = hashlib.sha256()
        for weight in model.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
        key = run_name(path.parent.parent.name, int(path.parent.name.removeprefix("seed-")))
        if key not in results:
            accuracy = float((inference.predictor(model)(images).argmax(axis=1) == labels).mean())
            results[key] = {"accuracy": accuracy, "sha256": []}
        results[key]["sha256"].append(digest.hexdigest())
    return results


def fused_seeds(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of an epoch of a variant's seeds as one vmapped program, and of one seed after another (JAX).

    Both are a whole epoch of the run's model, optimizer and image order as one compiled loop, without validation.
    """
    import jax
    import numpy as np

    from convlab.datasets import prepared
    from convlab.runtime.keras_runtime import keras
    from convlab.training.network import build
    from convlab.training.optimizer import optimizer
    from convlab.training.pipeline import batch_change, epoch_order
    from convlab.training.schedule import rates

    runs = {seed: run for (variant, seed), run in planned_runs(arguments).items() if variant == name}
    training = next(iter(runs.values())).training
    images, labels = prepared.load_train(arguments.data_dir)
    count = round(len(images) * (1 - training.validation_fraction)) if devices.visible_gpus() else SMALL_FUSED_IMAGES
    classes = int(labels.max()) + 1
    change = batch_change(training, labels, classes)  # smooths labels
    images, labels = jax.device_put(images[:count]), jax.device_put(labels[:count].astype(np.int32))
    steps = count // training.batch_size
    states, orders = [], []
    for seed, run in runs.items():
        keras.utils.set_random_seed(seed)
        model = build(run.model, images.shape[1:], classes, training.precision)
        steps_optimizer = optimizer(training, rates(training, steps * training.epochs))
        steps_optimizer.build(model.trainable_variables)
        variables = (model.trainable_variables, model.non_trainable_variables, steps_optimizer.variables)
        states.append([[variable.value for variable in kind] for kind in variables])
        order = epoch_order(count, count, seed, 0)[: steps * training.batch_size]
        orders.append(order.reshape(steps, training.batch_size))

    crossentropy = keras.ops.sparse_categorical_crossentropy
    if training.has_soft_labels:
        crossentropy = keras.ops.categorical_crossentropy

    def loss(trainable, others, batch, truth):
        batch, truth = change(batch, truth, {})
        probabilities, others = model.stateless_call(trainable, others, batch, training=True)
        return keras.ops.mean(crossentropy(truth, probabilities)), others

    def epoch(state, order, images, labels):
        def step(state, indices):
            trainable, others, slots = state
            gradient = jax.value_and_grad(loss, has_aux=True)
            (value, others), gradients = gradient(trainable, others, images[indices], labels[indices])
            trainable, slots = steps_optimizer.stateless_apply(slots, gradients, trainable)
            return [trainable, others, slots], value

        return jax.lax.scan(step, state, order)

    together = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *states)
    fused = timed(jax.jit(jax.vmap(epoch, (0, 0, None, None))), [(together, np.stack(orders))], images, labels)
    apart = timed(jax.jit(epoch), list(zip(states, orders, strict=True)), images, labels)
    return {
        "seeds": len(runs),
        **{f"fused_{key}": value for key, value in fused.items()},
        **{f"apart_{key}": value for key, value in apart.items()},
    }


def timed(function, calls: Sequence[tuple], images, labels, rounds: int = 3) -> dict[str, float]:
    """Seconds of all ``calls``, one after another: the median after the first round, and what the first took more."""
    import jax

    def seconds() -> Iterator[float]:
        for _ in range(1 + rounds):
            begin = time.perf_counter()
            for state, order in calls:
                jax.block_until_ready(function(state, order, images, labels))
            yield time.perf_counter() - begin

    first, *later = seconds()
    median = statistics.median(later)
    return {"seconds": median, "compile": first - median}


if __name__ == "__main__":
    main()
