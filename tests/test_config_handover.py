"""Whatever a config says in whatever spelling: what later stages are handed is the study that is trained."""

import copy
import json

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import quick
from builders.project import ROOT, TINY
from convlab.common.specs import canonical_json
from convlab.datasets.image_counts import after_validation, limited
from convlab.datasets.kinds import digits, mnist
from convlab.datasets.prepared import first_images, split
from convlab.datasets.registry import Count
from convlab.errors import UserError
from convlab.probes.sample_efficiency.settings import SETTINGS
from convlab.study.load import load_study, read_yaml, to_yaml

# ---------------------------------------------------------------------------------------------------------------------
# Whole configs


def spelled(number: int | float) -> st.SearchStrategy:
    """A number as people write it: as text, as a float, with an exponent."""
    ways = [number, str(number), f"+{number}", f" {number} "]
    if isinstance(number, int):
        ways += [float(number), f"{number}.0", f"{number}e0", hex(number), oct(number)]
    else:
        ways += [f"{number:e}"]
    return st.sampled_from(ways)


def number_of(*numbers: int | float) -> st.SearchStrategy:
    return st.sampled_from(numbers).flatmap(spelled)


def lists(item: st.SearchStrategy, **sizes: int) -> st.SearchStrategy:
    return st.lists(item, **sizes)


NOTHING = st.sampled_from([None, "none", "off", False, "null", "no"])
ALL = st.sampled_from([None, "all", "none", False])
FLAG = st.sampled_from([True, False, "yes", "no", "on", "off", "true"])
NAMES = st.sampled_from(
    ["cnn", "32", "2024", "NA", "null", "nan", "on", "yes", "no", "1e3", "0", "true", "2024-01-01", "a_b-c", "Z"]
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        ["on", "32", "1e-3", "null", "=", "<<", "a: b", "#x", "010", "1:30", "", " x", "x\n y", "é", "{", "~"]
    ),
)


def section(**fields: st.SearchStrategy) -> st.SearchStrategy:
    """A mapping with some of the fields, in any order."""
    return (
        st.fixed_dictionaries({}, optional=fields).flatmap(lambda made: st.permutations(list(made.items()))).map(dict)
    )


AUGMENTATION = st.one_of(
    NOTHING, section(flip=st.sampled_from(["none", "horizontal", None, False]), shift=number_of(0, 2))
)
EARLY = st.one_of(NOTHING, section(patience=number_of(1, 3), min_delta=number_of(0, 0.001)))
TRAINING = {
    "epochs": number_of(1, 5, 12),
    "batch_size": number_of(16, 128),
    "optimizer": st.sampled_from(["adam", "sgd"]),
    "learning_rate": number_of(0.001, 0.01, 1),
    "momentum": number_of(0, 0.9),
    "weight_decay": number_of(0, 0.01),
    "validation_fraction": number_of(0.1, 0.25),
    "train_size": st.one_of(ALL, number_of(20, 50)),
    "steps": st.one_of(NOTHING, number_of(50, 5000)),
    "augmentation": AUGMENTATION,
    "pixel_permutation": st.one_of(NOTHING, number_of(1, 2)),
    "select": st.sampled_from(["best", "last"]),
    "early_stopping": EARLY,
    "jit_compile": FLAG,
}
DENSE = {
    "units": st.one_of(number_of(8, 16), lists(number_of(8, 16), min_size=1, max_size=2)),
    "dropout": number_of(0, 0.2),
    "label": st.one_of(st.none(), TEXTS),
    "why": st.one_of(st.none(), st.just({}), st.fixed_dictionaries({"units": TEXTS})),
    "activation": st.sampled_from(["relu", "gelu"]),
}
CONV = {
    "depth": st.one_of(NOTHING, number_of(1, 2)),
    "kernel_size": st.one_of(number_of(3, 5), lists(number_of(3, 5), min_size=1, max_size=2)),
    "strides": number_of(1, 2),
    "pooling": st.one_of(NOTHING, st.sampled_from(["max", "average"]), st.just([None, "max"])),
    "padding": st.sampled_from(["same", "valid"]),
    "norm": st.one_of(NOTHING, st.sampled_from(["batch", "group"])),
    "norm_groups": number_of(1, 2),
    "residual": st.one_of(FLAG, st.just([True, False])),
    "convolution": st.sampled_from(["standard", "separable", ["standard", "depthwise_separable"]]),
    "conv_dropout": number_of(0, 0.2),
    "kernel_initializer": st.sampled_from(["glorot_uniform", "he_normal"]),
    "dense_units": st.one_of(NOTHING, lists(number_of(8), max_size=2)),
    "dropout": number_of(0, 0.3),
    "label": st.one_of(st.none(), TEXTS),
}
LEVELS = {
    "filters": [4, "8", [4, 8], [4.0]],
    "depth": [1, "2", 3.0],
    "kernel_size": [3, "5", [5], [3, 5]],
    "pooling": ["max", None, "none", [None]],
    "norm": [None, "batch", "group"],
    "residual": [True, False, "yes", [True, False]],
    "conv_dropout": [0, 0.1, "0.2"],
    "dense_units": [[], [8], ["16"], None],
    "epochs": [1, "2", 10.0],
    "learning_rate": ["1e-3", 0.01, "0.001"],
    "train_size": [None, 40, "60", "all"],
    "early_stopping": [None, {}, {"patience": "3"}, "off"],
    "augmentation": [None, {"flip": "horizontal"}, {"shift": 1.0}, False],
    "pixel_permutation": [None, 1, "2"],
    "steps": [None, "100", 40],
}  # fmt: skip


@st.composite
def configs(draw) -> dict:
    """A whole config; most are possible."""
    names = draw(st.lists(NAMES, min_size=4, max_size=4, unique=True))
    models = {
        names[0]: {
            "family": "conv",
            "filters": draw(st.sampled_from([4, "4", [4, "8"], [8.0]])),
            **draw(section(**CONV)),
        },
        names[1]: {"family": "dense", "units": 8, **draw(section(**DENSE))},
    }
    config = {"study": draw(NAMES), "models": models, "datasets": draw(datasets())}
    factors = draw(st.lists(st.sampled_from(sorted(LEVELS)), min_size=3, max_size=3, unique=True))
    levels = [draw(st.lists(st.sampled_from(LEVELS[factor]), min_size=2, max_size=3)) for factor in factors]
    first = {"base": names[0], "factor": factors[0], "levels": levels[0]}
    two = {"base": names[0], "factors": dict(zip(factors[1:], levels[1:], strict=True))}
    first |= draw(st.sampled_from([{}, {"reference": None}, {"reference": levels[0][-1]}]))
    two |= draw(st.sampled_from([{}, {"reference": {factors[2]: levels[2][0], factors[1]: levels[1][1]}}]))
    experiments = draw(
        st.sampled_from([{}, None, {names[2]: first}, {names[3]: two}, {names[2]: first, names[3]: two}])
    )
    whole = {
        "question": st.one_of(st.none(), TEXTS),
        "description": TEXTS,
        "seeds": st.one_of(st.none(), number_of(1, 3), lists(number_of(1, 2, 7, 2**62), min_size=1, max_size=3)),
        "training": st.one_of(st.none(), section(**TRAINING)),
        "experiments": st.just(experiments),
        "comparisons": st.sampled_from([None, {}, {"beats": {"variant": names[0], "reference": names[1]}}]),
        "claims": st.sampled_from([None, [], [{"id": names[2], "text": "010", "published": None, "rule": f"parameters({names[0]}) > 1"}]]),
        "probes": st.one_of(
            st.none(),
            st.sampled_from([[], "off", ["pixel_permutation", "calibration"], {"translation": None, "calibration": False}]),
            section(
                pixel_permutation=section(blocks=lists(number_of(1, 2), min_size=1, max_size=2)),
                translation=section(shift=number_of(1, 3), models=st.just([names[0]])),
                sample_efficiency=section(sizes=st.just([10, "20", "all"]), steps=number_of(50)),
            ),
        ),
        "statistics": st.one_of(st.none(), section(rope=number_of(0, 0.01))),
        "tuning": st.sampled_from(
            [None, "off", {"over": {"weight_decay": ["1e-4", 0.01]}}, {"trials": "3", "over": {"learning_rate": (1e-4, 1)}}]
        ),
        "report": st.one_of(st.none(), section(title=st.one_of(st.none(), TEXTS), language=st.sampled_from(["en", "es"]))),
        "deploy": st.one_of(
            st.none(),
            section(variant=st.sampled_from([None, names[0]]), dataset=st.none(), test_images=number_of(10), sagemaker=st.none()),
            st.just(SAGEMAKER),
        ),
        "x-kept": st.just({"anything": [1, None]}),
    }  # fmt: skip
    optional = draw(section(**whole))
    return dict(draw(st.permutations([*config.items(), *optional.items()])))


SAGEMAKER = {
    "target": "sagemaker",
    "sagemaker": {
        "role_arn": "arn:aws:iam::123456789012:role/MyRole", "bucket": "b-123456789012", "prefix": "2024",
        "tags": {"year": 2024, "on": "yes"}, "endpoint": {"image_version": "2.20", "instance_type": None}, "prices": None,
    },
}  # fmt: skip


def datasets() -> st.SearchStrategy:
    limits = {"train_images": st.one_of(ALL, number_of(300)), "test_images": st.one_of(ALL, number_of(100))}
    path = st.sampled_from(["2024", "photos", "on"])
    own = {"test_fraction": number_of(0.2, 0.5), "split_seed": number_of(0, 7)}
    digits = st.one_of(st.none(), section(**limits))
    npz = st.fixed_dictionaries(
        {"kind": st.just("npz"), "path": path, "input_shape": st.sampled_from([[8, "8", 1.0], (8, 8, 3)]),
         "classes": st.sampled_from([["0", "1", "2"], [0, 1], ["on", "NA"], ["1e3", "010", "null"]])},
        optional={**own, **limits},
    )  # fmt: skip
    folder = st.fixed_dictionaries(
        {"kind": st.just("image_folder"), "path": path, "image_size": st.sampled_from([8, "8", [8, 12]]), "classes": number_of(2, 3)},
        optional={**own, **limits, "colour": st.sampled_from(["rgb", "grey"]), "unreadable": st.just("exclude")},
    )  # fmt: skip
    named = {"digits": digits, "32": npz, "NA": folder, "mnist": st.none()}
    return st.lists(st.sampled_from(sorted(named)), min_size=1, max_size=2, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: named[name] for name in names})
    )


def hashes(study) -> dict:
    return {
        (dataset, variant, seed): study.run(dataset, variant, seed).spec_hash
        for dataset in study.datasets
        for variant in study.plan.variants
        for seed in study.seeds[:2]
    }


def accepted(config: dict):
    """The study, or None where it is refused, which takes one sentence and no other exception."""
    try:
        return load_study(config)
    except UserError as error:
        assert "\n" not in str(error)
        return None


WHOLE = settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@WHOLE
@given(configs())
def test_what_is_handed_on_is_what_is_trained(config):
    before = copy.deepcopy(config)
    study = accepted(config)
    assert config == before, "loading changes nothing"
    if study is None:
        return
    for handed_on in (
        study.validated_config,
        json.loads(json.dumps(study.validated_config)),
        yaml.safe_load(to_yaml(study.validated_config)),
    ):
        again = load_study(handed_on)
        assert hashes(again) == hashes(study)
        assert again.plan == study.plan
        assert (again.seeds, again.statistics, again.report, again.claims) == (
            study.seeds, study.statistics, study.report, study.claims
        )  # fmt: skip
        assert again.validated_config == study.validated_config and again.settings == study.settings
    tables = load_study(json.loads(json.dumps(study.settings)))
    assert hashes(tables) == hashes(study)
    assert tables.settings == study.settings
    assert tables.plan.aliases == study.plan.aliases
    sorted_keys = load_study(json.loads(canonical_json(study.settings)))
    assert hashes(sorted_keys) == hashes(study) and sorted_keys.plan.aliases == study.plan.aliases


def test_whole_configs_are_mostly_accepted():
    seen = []

    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(configs())
    def collect(config):
        seen.append(accepted(config) is not None)

    collect()
    assert sum(seen) > len(seen) / 3


@settings(WHOLE, max_examples=40)
@given(configs())
def test_a_quick_look_at_every_accepted_study_is_accepted(config):
    study = accepted(config)
    if study is None:
        return
    less = load_study(yaml.safe_load(to_yaml(quick.reduced(config))))
    assert len(less.seeds) <= quick.SEEDS and len(less.plan.compared) == len(study.plan.compared)
    assert set(less.plan.questions) == set(study.plan.questions) and set(less.plan.claims) == set(study.plan.claims)


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))], ids=lambda path: path.stem
)
def test_a_quick_look_at_every_ready_made_study_is_accepted(path):
    study, less = load_study(read_yaml(path)), load_study(quick.reduced(read_yaml(path)))
    assert len(less.plan.variants) == len(study.plan.variants)
    assert all(variant.training.epochs <= quick.EPOCHS for variant in less.plan.variants.values())


def test_a_quick_look_reduces_levels_and_renames_what_names_them():
    config = {
        **TINY,
        "datasets": {"mnist": None},
        "training": {"train_size": 20000, "epochs": 10, "steps": "200000"},
        "experiments": {
            "size": {"base": "cnn", "factor": "train_size", "levels": [1000, "20000", None]},
            "both": {"base": "dense", "factors": {"epochs": [5, 10, 50], "steps": [200000, 2000]}},
        },
        "comparisons": {"a": {"variant": "cnn-train_size-1-000", "reference": "dense-epochs-50-steps-2000"}},
        "probes": ["sample_efficiency"],
        "claims": [
            {"id": "x", "text": "t", "rule": "test_accuracy(cnn-train_size-all) > test_accuracy(cnn-images-100)"}
        ],
        "deploy": {"variant": "dense-epochs-5-steps-2000"},
    }
    less = load_study(quick.reduced(config))
    assert less.datasets["mnist"].train_images == 3000
    assert (less.training.train_size, less.training.epochs, less.training.steps) == (2699, 2, 60)
    assert less.comparisons["a"].variant == "cnn-train_size-134"
    assert less.comparisons["a"].reference == "dense-epochs-3-steps-1"
    assert less.deploy.variant == "dense-epochs-1-steps-1"
    assert less.claims[0].rule == "test_accuracy(cnn-train_size-all) > test_accuracy(cnn-images-3)"
    assert max(size for size in less.probes.sample_efficiency.sizes if size) == 300


def test_a_quick_look_takes_no_more_own_images_than_there_are(tmp_path):
    for part, images in (("train", 30), ("test", 12)):
        for name in ("a", "b"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(images):
                (folder / f"{number}.png").write_bytes(b"")
    own = {"own": {"kind": "image_folder", "path": str(tmp_path), "image_size": 8, "classes": 2}}
    assert (
        quick.reduced({**TINY, "datasets": own})["datasets"]
        == load_study({**TINY, "datasets": own}).validated_config["datasets"]
    )
    given = {"own": {**own["own"], "train_images": 40}}
    assert quick.reduced({**TINY, "datasets": given})["datasets"]["own"]["train_images"] == 40
    with pytest.raises(UserError, match=r"datasets.own.train_images is 61, but there are 60; choose at most that"):
        load_study({**TINY, "datasets": {"own": {**own["own"], "train_images": 61}}})


# ---------------------------------------------------------------------------------------------------------------------
# What is impossible


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probes": {"sample_efficiency": {"sizes": [100, 300, 1000, 3000, None]}}}, "probes.sample_efficiency: train_size is 3,000, but digits leaves 1,297 images to train on beside those for validation; write sizes: [100, 300, 1000, null]"),
        ({"training": {"train_size": 1298}}, "training: train_size is 1,298, but digits leaves 1,297"),
        ({"training": {"train_size": 1280, "validation_fraction": 0.2}}, "but digits leaves 1,154 images"),
        ({"experiments": {"e": {"base": "cnn", "factor": "train_size", "levels": [10, 5000]}}}, "experiments.e, level 5,000: train_size is 5,000"),
        ({"probes": {"pixel_permutation": {"blocks": [50]}}}, "probes.pixel_permutation: pixel_permutation 50 leaves no two blocks in images of digits (8×8 pixels); choose at most 4"),
        ({"training": {"pixel_permutation": 5}}, "training: pixel_permutation 5 leaves no two blocks"),
        ({"probes": {"translation": {"shift": 8}}}, "probes.translation.shift is 8, which moves images of digits (8×8 pixels) out of sight; choose at most 7"),
        ({"training": {"augmentation": {"shift": 9}}}, "augmentation.shift is 9, which moves images"),
        ({"datasets": {"digits": {"train_images": 1443}}}, "datasets.digits.train_images is 1,443, but there are 1,442"),
        ({"datasets": {"digits": {"test_images": 9}}}, "datasets.digits.test_images is 9, too few for 10 classes"),
        ({"datasets": {"digits": {"train_images": 10}}}, "datasets.digits.train_images is 10, too few for 10 classes; choose at least 11"),
        ({"datasets": {"digits": {"train_images": 100}}, "training": {"train_size": 91}}, "digits leaves 90 images"),
        ({"datasets": {"own": {"kind": "image_folder", "path": "x", "image_size": 8, "classes": 1}}}, "datasets.own.classes is 1"),
    ],
)  # fmt: skip
def test_what_the_images_do_not_allow_is_told_before_anything_runs(change, message):
    with pytest.raises(UserError) as caught:
        load_study({**TINY, "datasets": {"digits": {}}, "experiments": {}, "comparisons": {}, **change})
    assert message in str(caught.value)


def test_default_sizes_are_those_that_the_images_allow():
    for limit, expected in ((None, [100, 300, 1000, "all"]), (300, [100, "all"])):
        datasets = {"digits": {"train_images": limit}}
        plan = load_study({**TINY, "datasets": datasets, "probes": ["sample_efficiency"]}).plan
        assert [name for name in plan.variants if "cnn-images" in name] == [f"cnn-images-{size}" for size in expected]
    with pytest.raises(UserError, match="sizes begins with 100, and there are no more images to train on"):
        load_study({**TINY, "datasets": {"digits": {"train_images": 90}}, "probes": ["sample_efficiency"]})


def test_a_default_size_of_all_images_is_not_trained_twice():
    for images, expected in ((299, ["100", "all"]), (300, ["100", "all"]), (301, ["100", "300", "all"])):
        levels = SETTINGS().levels(lambda images=images: images)
        assert [level.slug for level in levels] == [f"images-{size}" for size in expected]


def test_what_the_images_just_allow_is_accepted():
    probes = {
        "pixel_permutation": {"blocks": [4]},
        "translation": {"shift": 7},
        "sample_efficiency": {"sizes": [10, 1297]},
    }
    load_study({**TINY, "datasets": {"digits": {"train_images": 1442, "test_images": 355}}, "probes": probes})


def test_counts_of_published_images_are_those_of_the_data():
    from sklearn.datasets import load_digits

    spec = digits.Digits(kind="digits")
    dataset = digits.read("digits", spec, threads=1).dataset
    train, test = digits.counts(spec)
    assert [sum(dataset.y_train == label) for label in range(10)] == list(train.by_class)
    assert [sum(dataset.y_test == label) for label in range(10)] == list(test.by_class)
    assert len(load_digits().target) == train.most + test.most
    assert [count.most for count in mnist.counts(mnist.Mnist(kind="mnist"))] == [60_000, 10_000]


@given(
    st.lists(st.integers(1, 400), min_size=2, max_size=6),
    st.floats(0.01, 0.99),
    st.one_of(st.none(), st.integers(10, 300)),
)
def test_images_left_after_validation_are_within_the_bounds(by_class, fraction, limit):
    labels = np.repeat(np.arange(len(by_class)), by_class)
    if limit is not None:
        labels = labels[first_images(labels, min(limit, len(labels)))]
    if np.bincount(labels).max() < 2:
        return
    left = len(split(labels, fraction, 0)[0])
    whole = Count(sum(by_class), sum(by_class), tuple(by_class))
    for count in (whole, Count(whole.least, whole.most)):
        bounds = after_validation(limited(count, limit), fraction, len(by_class))
        assert bounds.least <= left <= bounds.most
    if limit is None:
        assert after_validation(whole, fraction, len(by_class)).most == left
