"""Planned looks: seeds until it is settled, with the error rate kept."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from builders.project import CNN_5X5, ROOT, TINY, Project, copy_project, tiny_with
from builders.study_results import MADE_UP_STUDY, runs_with
from convlab.errors import UserError
from convlab.results import tables
from convlab.results.sequential import claim_key, contrast_key, family_over_looks, proposal
from convlab.statistics.sequential import adjust_at_look, adjust_equivalences_at_look, looks_of, replay, usual_look
from convlab.study.load import load_study
from convlab.study.seeds import Schedule, extended

PLAN = {"from": 3, "to": 9, "step": 3}
CLAIMS = [
    {"id": "small", "text": "It is small.", "rule": "parameters(cnn) < 1e9"},
    {"id": "wins", "text": "It wins.", "rule": "test_accuracy(cnn) > 80 %"},
]


def planned(**changes):
    return load_study({**MADE_UP_STUDY, "seeds": PLAN, "claims": CLAIMS, **changes})


# ---------------------------------------------------------------------------------------------------------------------
# The config and the schedule


def test_a_plan_has_its_looks_and_all_of_its_seeds():
    study = planned()
    assert study.seeds.counts == (3, 6, 9) and tuple(study.seeds) == tuple(range(1, 10))
    assert study.settings["seeds"] == study.validated_config["seeds"] == PLAN
    assert load_study(study.settings).seeds.counts == (3, 6, 9)
    assert load_study({**MADE_UP_STUDY, "seeds": [4, 2]}).seeds.counts == (2,)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"from": 2, "to": 8, "step": 3}, "a look needs at least 3 seeds"),
        ({"from": 3, "to": 14, "step": 3}, "seeds has no look at to: 14, in steps of 3 from 3; write to: 12 or 15"),
        ({"from": 3, "to": 3, "step": 1}, "write seeds: 3 for one look"),
        ({"from": 3, "to": 3000, "step": 1}, "at most 1,000 seeds"),
        ({"from": 3, "to": 9}, "seeds.step is missing"),
        ({"from": 3, "to": 9, "step": 3, "puase": True}, "unknown key 'puase' in seeds, did you mean 'pause'?"),
        ({"from": 3.5, "to": 9, "step": 3}, "seeds.from should be a whole number"),
    ],
)
def test_a_plan_that_cannot_be_is_told(plan, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        load_study({**MADE_UP_STUDY, "seeds": plan})


def test_a_variant_has_the_seeds_of_the_first_look_and_those_that_its_schedule_adds():
    study = planned()
    study = study.with_schedule(extended(study.schedule, study.seeds, 1, [("digits", "cnn")]))
    assert study.seeds_of("digits", "cnn") == (1, 2, 3, 4, 5, 6)
    assert study.seeds_of("digits", "dense") == (1, 2, 3)
    assert study.schedule == Schedule.of(json.loads(json.dumps(study.schedule.as_json())), study.seeds)
    assert study.seed_counts == (3, 6)


@pytest.mark.parametrize(
    "written",
    [
        {"look": 2, "seeds": {"digits": {"cnn": 5}}}, {"look": 2, "seeds": {"digits": {"cnn": 9}}},
        {"look": 4, "seeds": {}}, {"look": 0, "seeds": {}}, {"seeds": {}}, "unreadable", [1],
    ],
)  # fmt: skip
def test_a_schedule_outside_the_plan_is_refused(written):
    with pytest.raises(UserError, match=r"registration/schedule\.json"):
        Schedule.of(written, planned().seeds)


# ---------------------------------------------------------------------------------------------------------------------
# The level


@pytest.mark.parametrize("counts", [(3, 6, 9, 12, 15), (3, 6), (5, 10, 15), (7,)])
def test_the_shares_of_the_looks_grow_and_make_up_the_level(counts):
    shares = [look.share for look in looks_of(counts)]
    assert sum(shares) == pytest.approx(1) and shares == sorted(shares) and min(shares) > 0


def test_numbers_of_seeds_that_do_not_ascend_are_no_looks():
    with pytest.raises(ValueError, match="ascend"):
        looks_of((3, 3))


def test_what_was_rejected_passes_its_share_on_and_what_is_equivalent_keeps_it():
    p_values = {("a",): {"x": 0.9}, ("b",): {"x": 0.01}}
    alone = adjust_at_look(p_values, 0.5, {})["b",]["x"]
    assert alone == pytest.approx(2 * 0.01 / 0.5)
    assert adjust_at_look(p_values, 0.5, {(("a",), "x"): "better"})["b",]["x"] == pytest.approx(alone / 2)
    assert adjust_at_look(p_values, 0.5, {(("a",), "x"): "equivalent"})["b",]["x"] == pytest.approx(alone)


def test_a_p_value_of_equivalence_counts_the_family_and_the_look():
    assert adjust_equivalences_at_look({("a",): {"x": 0.001, "y": None}}, 4, 0.2)["a",] == {"x": 0.02, "y": None}


def test_a_verdict_is_kept_from_the_look_that_reached_it_and_nothing_is_analysed_without_runs():
    verdicts = {1: {"a": "better", "b": "inconclusive"}, 2: {"a": "worse", "b": "inconclusive"}}
    analysed = []

    def analyse(look, settled):
        analysed.append((look.number, dict(settled)))
        return verdicts[look.number]

    result = replay(looks_of((3, 6, 9)), analyse, lambda look, hypothesis: look.number < 3)
    assert {key: (verdict, look.number) for key, (verdict, look) in result.settled.items()} == {"a": ("better", 1)}
    assert result.look.number == 2 and result.unsettled == ("b",)
    assert analysed == [(1, {}), (2, {"a": "better"})]


def test_larger_differences_are_settled_at_earlier_looks():
    looks = looks_of((3, 6, 9, 12, 15))
    usual = [usual_look(looks, 5, effect) for effect in (0.1, 1, 2, 4)]
    assert usual[0] is None
    numbers = [look.number for look in usual[1:]]
    assert numbers == sorted(numbers, reverse=True) and numbers[-1] == 2


def calibration():
    spec = importlib.util.spec_from_file_location("calibrate_sequential", ROOT / "benchmarks/calibrate_sequential.py")
    sys.modules["calibrate_sequential"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("sd", [1.0, 2.5])
@pytest.mark.parametrize("contrasts", [1, 5, 12])
def test_over_all_looks_at_most_five_percent_of_studies_hold_a_false_verdict(contrasts, sd):
    """From three seeds on; with an equivalence that truly is none, and with no difference at all."""
    calibrate, studies = calibration(), 250
    most = stats.binom.ppf(0.999, studies, 0.05) / studies
    for differences, rope in (((0.0,) * contrasts, 0.0), ((2.0,) * contrasts, 2.0)):
        design = calibrate.Design(differences, sd, rope=rope)
        assert calibrate.simulate(design, studies, seed=contrasts).false <= most


# ---------------------------------------------------------------------------------------------------------------------
# A study over its looks


def accuracies(cnn: float, spread: float = 0.001, seeds: int = 9) -> dict[str, list[float]]:
    rng = np.random.default_rng(1)
    means = {"cnn": cnn, CNN_5X5: cnn, "dense": 0.80}
    return {name: list(mean + spread * rng.standard_normal(seeds)) for name, mean in means.items()}


def of_seeds(runs, counts):
    keep = [row.seed <= counts.get(row.variant, 3) for row in runs.itertuples()]
    return runs[keep].reset_index(drop=True)


def test_only_the_variants_of_what_is_not_settled_get_more_seeds():
    study = planned(comparisons=MADE_UP_STUDY["comparisons"], claims=CLAIMS[:1])
    runs = runs_with(study, accuracies(0.97, 0.004))
    six = of_seeds(runs, {"cnn": 6, "dense": 6, CNN_5X5: 6})
    family = family_over_looks(six, study)
    assert family.look_of(("digits", "convolution"), "cnn").number <= 2
    assert family.look_of(("digits", "kernel"), CNN_5X5) is None
    proposed = proposal(study, family.looks)
    assert proposed["look"] == 2 and proposed["unsettled"] == [
        {"question": "kernel", "dataset": "digits", "variant": CNN_5X5}
    ]
    assert proposed["next"] == {"look": 3, "seeds": {"digits": {"cnn": 9, CNN_5X5: 9}}}


def test_a_settled_verdict_and_its_numbers_stay_whatever_later_seeds_say():
    study, values = planned(claims=CLAIMS), accuracies(0.97, 0.0005)
    early = family_over_looks(of_seeds(runs_with(study, values), {"cnn": 6, "dense": 6, CNN_5X5: 6}), study)
    look = early.look_of(("digits", "convolution"), "cnn")
    values["cnn"][look.n_seeds :] = [0.1] * (9 - look.n_seeds)
    late = family_over_looks(runs_with(study, values), study)
    assert late.look_of(("digits", "convolution"), "cnn") == look
    assert late.contrasts["digits", "convolution"] == early.contrasts["digits", "convolution"]


def test_a_look_is_not_reached_before_all_that_is_unsettled_has_its_runs():
    study = planned()
    runs = runs_with(study, accuracies(0.80, 0.02))
    assert family_over_looks(of_seeds(runs, {"cnn": 6}), study).looks.look.number == 1
    assert family_over_looks(of_seeds(runs, {"cnn": 6, "dense": 6, CNN_5X5: 6}), study).looks.look.number == 2


def test_a_study_of_fixed_seeds_is_one_look_with_all_of_the_level():
    study = load_study({**MADE_UP_STUDY, "seeds": 9})
    runs = runs_with(study, accuracies(0.97))
    family = family_over_looks(runs, study)
    alone = tables.comparisons_table(runs, study.plan, 0.005)
    table = tables.comparisons_table(runs, study.plan, 0.005, family)
    assert list(table["p_adjusted"]) == list(alone["p_adjusted"]) and proposal(study, family.looks) is None
    assert list(table["sentence"]) == list(alone["sentence"])


def test_tables_say_at_which_look_each_verdict_was_reached():
    study = planned()
    runs = of_seeds(runs_with(study, accuracies(0.815, 0.004)), {"cnn": 6, "dense": 6, CNN_5X5: 6})
    family = family_over_looks(runs, study)
    table = tables.with_looks(
        tables.comparisons_table(runs, study.plan, 0.005, family), family, "sentence", contrast_key
    ).set_index("experiment")
    claims = tables.with_looks(
        tables.claims_table(runs, study.plan, 0.005, family), family, "reason", claim_key
    ).set_index("claim")
    assert "Settled at look 2 of 3, with 6 seeds." in table.loc["convolution", "sentence"]
    assert table.loc["convolution", "look"] == 2 and set(table["n_looks"]) == {3}
    unsettled = table.loc["kernel"]
    assert "Not settled at look 2 of 3, with 6 seeds; the plan goes on" in unsettled["sentence"]
    assert "would settle it" not in unsettled["sentence"] and unsettled["look"] is not unsettled["n_looks"]
    assert "look" not in claims.loc["small", "reason"] and claims.loc["small", "look"] == 1


# ---------------------------------------------------------------------------------------------------------------------
# From look to look

SNAKEMAKE = """
import json, pathlib, sys
folder = pathlib.Path("results/tiny")
with open("calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
schedule = folder / "registration/schedule.json"
present = json.loads(schedule.read_text()) if schedule.exists() else {"look": 1, "seeds": {}}
if pathlib.Path("fails").exists():
    sys.exit(3)
look = present["look"]
following = {"look": look + 1, "seeds": {"digits": {"cnn": 3 * (look + 1)}}} if look < 3 else None
looks = {"look": look, "n_looks": 3, "seeds": 3 * look, "level": 0.01, "settled": [], "schedule": present,
         "unsettled": [{"claim": "a", "dataset": "digits"}], "next": following}
(folder / "compare").mkdir(parents=True, exist_ok=True)
(folder / "compare/summary.json").write_text(json.dumps({"looks": looks}))
"""


class Driver:
    """A folder with a config, and a program in the place of Snakemake that proposes look after look."""

    def __init__(self, folder: Path, **plan):
        self.folder = folder
        (folder / "snakemake.py").write_text(SNAKEMAKE)
        (folder / "config.yaml").write_text(json.dumps(tiny_with(seeds=PLAN | plan if plan != {"n": 3} else 3)))

    def settle(self, *options: str, arguments=()) -> subprocess.CompletedProcess:
        command = [sys.executable, ROOT / "scripts/settle.py", *options, "config.yaml", "--"]
        command += [sys.executable, "snakemake.py", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)

    @property
    def calls(self) -> int:
        return len((self.folder / "calls").read_text().splitlines())

    @property
    def schedule(self) -> Path:
        return self.folder / "results/tiny/registration/schedule.json"


def test_a_study_goes_on_by_itself_to_the_last_look_and_says_why_it_stops(tmp_path):
    driver = Driver(tmp_path)
    result = driver.settle("--may-pause")
    assert result.returncode == 0 and driver.calls == 3, result.stderr
    assert json.loads(driver.schedule.read_text()) == {"look": 3, "seeds": {"digits": {"cnn": 9}}}
    assert "goes on: 6 seeds for 1 variant" in result.stderr
    assert "stops: this was the last look of the plan" in result.stderr


def test_a_plan_that_pauses_ends_after_its_first_look_until_it_is_settled(tmp_path):
    driver = Driver(tmp_path, pause=True)
    result = driver.settle("--may-pause")
    assert driver.calls == 1 and not driver.schedule.exists() and "make settle goes on" in result.stderr
    driver.settle()
    assert driver.calls == 4


def test_what_was_interrupted_between_two_looks_goes_on_where_it_was(tmp_path):
    driver = Driver(tmp_path)
    driver.settle()
    driver.schedule.write_text(json.dumps({"look": 2, "seeds": {"digits": {"cnn": 6}}}))
    driver.settle()
    assert driver.calls == 5 and json.loads(driver.schedule.read_text())["look"] == 3


def test_a_failure_ends_the_study_with_its_status_and_no_further_look(tmp_path):
    driver = Driver(tmp_path)
    (tmp_path / "fails").touch()
    assert driver.settle().returncode == 3 and driver.calls == 1 and not driver.schedule.exists()


@pytest.mark.parametrize("argument", ["-n", "-np", "--dry-run", "--unlock", "--until=train"])
def test_what_runs_nothing_is_no_look(tmp_path, argument):
    driver = Driver(tmp_path)
    driver.settle(arguments=[argument])
    assert driver.calls == 1 and not driver.schedule.exists()


def test_a_study_of_fixed_seeds_is_one_invocation(tmp_path):
    driver = Driver(tmp_path, n=3)
    assert driver.settle("--may-pause").returncode == 0 and driver.calls == 1


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return copy_project(tmp_path_factory.mktemp("looks"))


@pytest.mark.slow
def test_a_schedule_plans_the_added_seeds_of_its_variants_and_nothing_else(project):
    project.configure(tiny_with(seeds=PLAN, probes=["pixel_permutation"]))
    first = project.planned()
    folder = project.folder / "results/tiny/registration"
    folder.mkdir(parents=True)
    (folder / "schedule.json").write_text(json.dumps({"look": 2, "seeds": {"digits": {"cnn": 6}}}))
    assert project.planned() - first == {f"Train cnn on digits, seed {seed}" for seed in (4, 5, 6)}
    assert first <= project.planned()


@pytest.mark.slow
def test_a_schedule_that_the_plan_does_not_give_is_refused_before_anything_runs(project):
    project.configure(tiny_with(seeds=PLAN))
    folder = project.folder / "results/tiny/registration"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schedule.json").write_text(json.dumps({"look": 2, "seeds": {"digits": {"cnn": 7}}}))
    result = project.snakemake("-n")
    assert result.returncode != 0 and "restore the plan" in result.stdout + result.stderr
    (folder / "schedule.json").unlink()


def test_a_plan_is_told_its_most_and_what_is_to_be_expected(tmp_path):
    (tmp_path / "study.yaml").write_text(json.dumps({**TINY, "seeds": PLAN, "probes": ["pixel_permutation"]}))
    command = [sys.executable, ROOT / "scripts/plan.py", tmp_path / "study.yaml", "--results", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert "5 variants × 3 seeds = 15 runs" in result.stdout, result.stderr
    assert (
        "at most, if nothing is settled before the last look: 33 runs" in result.stdout
    )  # 3 × 9, and 2 × 3 of a probe
