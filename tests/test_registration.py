"""What is confirmatory is fixed before the first run: what changes it, amendments, looks, what verdicts say."""

import copy
import csv
import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import register
from builders.project import CNN_5X5, LAST_JOBS, TINY, TINY_SEEDS, tiny_with
from builders.results import CNN_WINS
from builders.study_results import MADE_UP_STUDY, results_with, runs_with
from convlab.common.files import write_json
from convlab.common.table_files import read_table
from convlab.findings.collect import claims_count
from convlab.findings.registration import claims_registration, looks, registration_notices
from convlab.results import columns, tables
from convlab.results.asked import family_by_registration
from convlab.results.family import confirmatory_family
from convlab.study import layout, registration
from convlab.study import registration_files as files
from convlab.study.load import load_study, to_yaml
from convlab.study.registration import Standing, content, differences, entries, sha256
from convlab.study.registration_files import Look, Records

CLAIM = {"id": "wins", "text": "The CNN wins.", "rule": "test_accuracy(cnn) - test_accuracy(dense) > 0.3 pp"}
CHAIN = {"id": "range", "text": "In between.", "rule": "90 % < test_accuracy(cnn) <= 0.95"}
SIZE = {"id": "size", "text": "Small.", "rule": "parameters(cnn) < 50000"}
STUDY = {**MADE_UP_STUDY, "claims": [CLAIM, CHAIN, SIZE]}


def hash_of(config: dict) -> str:
    return sha256(content(load_study(config)))


def changed_entries(before: dict, after: dict) -> set[str]:
    """Kinds of entries of the second config that the first has not."""
    known = {entry.digest for entry in entries(load_study(before))}
    return {entry.kind for entry in entries(load_study(after)) if entry.digest not in known}


# ---------------------------------------------------------------------------------------------------------------------
# What is no change, and what is one

NAME = st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True)


@st.composite
def renamed(draw) -> dict:
    """The study under other names and texts, in another order: all that tells it from STUDY explains or labels."""
    dense, cnn, kernel, convolution, digits = draw(st.lists(NAME, min_size=5, max_size=5, unique=True))
    names = {"cnn": cnn, "dense": dense}
    text = st.text(st.characters(codec="ascii", categories=("L",)), min_size=1, max_size=8)

    def rule(written: str) -> str:
        written = re.sub(r"\((\w+)\)", lambda match: f"( {names[match[1]]} )", written)
        return written.replace(" ", draw(st.sampled_from([" ", "  "])))

    models = {
        names[name]: {**model, "label": draw(text), "why": {"activation": draw(text)}}
        for name, model in STUDY["models"].items()
    }
    claims = [
        {**claim, "id": f"claim{number}", "text": draw(text), "source": draw(text), "rule": rule(claim["rule"])}
        for number, claim in enumerate(STUDY["claims"])
    ]
    return {
        "study": draw(NAME),
        "question": draw(text),
        "description": draw(text),
        "datasets": {digits: {"kind": "digits"}},
        "seeds": draw(st.sampled_from([3, [1, 2, 3], [3, 1, 2]])),
        "training": STUDY["training"],
        "models": dict(draw(st.permutations(list(models.items())))),
        "experiments": {kernel: {"base": cnn, "factor": "kernel_size", "levels": [3, 5], "question": draw(text)}},
        "comparisons": {convolution: {"variant": cnn, "reference": dense, "question": draw(text)}},
        "claims": draw(st.permutations(claims)),
        "report": {"title": draw(text), "language": draw(st.sampled_from(["en", "es"]))},
        "statistics": draw(st.sampled_from([{}, {"rope": 0.005}])),
    }


@settings(max_examples=60)
@given(renamed())
def test_names_texts_order_and_language_change_nothing(config):
    assert hash_of(config) == hash_of(STUDY)
    assert changed_entries(STUDY, config) == set()


@pytest.mark.parametrize(
    "rule",
    [
        "test_accuracy(cnn) − test_accuracy(dense) > 0.003",
        "0.3 pp < test_accuracy(cnn) - test_accuracy(dense)",
        "test_accuracy(cnn)-test_accuracy(dense)>.3 %",
    ],
)
def test_another_spelling_of_a_rule_is_no_change(rule):
    assert hash_of({**STUDY, "claims": [{**CLAIM, "rule": rule}, CHAIN, SIZE]}) == hash_of(STUDY)


def study_with(**changes) -> dict:
    return {**copy.deepcopy(STUDY), **changes}


def with_claim(**changes) -> dict:
    return study_with(claims=[{**CLAIM, **changes}, CHAIN, SIZE])


KERNEL = STUDY["experiments"]["kernel"]

CHANGES = [
    (with_claim(rule="test_accuracy(cnn) - test_accuracy(dense) > 0.2 pp"), {"claim"}),
    (with_claim(rule="test_accuracy(cnn) - test_accuracy(dense) >= 0.3 pp"), {"claim"}),
    (with_claim(rule="test_accuracy(dense) - test_accuracy(cnn) > 0.3 pp"), {"claim"}),
    (with_claim(rule="val_accuracy(cnn) - val_accuracy(dense) > 0.3 pp"), {"claim"}),
    (with_claim(rule=f"test_accuracy({CNN_5X5}) - test_accuracy(dense) > 0.3 pp"), {"claim"}),
    (with_claim(published="91 %"), {"claim"}),
    (study_with(claims=[CLAIM, {**CHAIN, "rule": "90 % < test_accuracy(cnn) < 0.95"}, SIZE]), {"claim"}),
    (study_with(seeds=5), {"seeds"}),
    (study_with(seeds=[1, 2, 4]), {"seeds"}),
    (study_with(statistics={"rope": 0.01}), {"statistics"}),
    (study_with(experiments={"kernel": {**KERNEL, "levels": [3, 7]}}), {"question", "choice"}),
    (study_with(experiments={"kernel": {**KERNEL, "levels": [3, 5, 7]}}), {"question", "choice"}),
    (study_with(experiments={"kernel": {**KERNEL, "reference": 5}}), {"question"}),
    (study_with(comparisons={"convolution": {"variant": "dense", "reference": "cnn"}}), {"question"}),
    (study_with(training={"epochs": 5}), {"claim", "question", "choice"}),
    (study_with(datasets={"digits": {"train_images": 500}}), {"claim", "question"}),
    (study_with(datasets={"digits": {}, "other": {"kind": "digits", "test_images": 99}}), {"claim", "question"}),
    (study_with(deploy={"variant": "cnn"}), {"choice"}),
]  # fmt: skip


@pytest.mark.parametrize(("config", "kinds"), CHANGES)
def test_what_could_give_another_verdict_is_a_change_of_what_it_concerns(config, kinds):
    assert hash_of(config) != hash_of(STUDY)
    assert changed_entries(STUDY, config) == kinds


def test_entries_are_compared_one_by_one():
    changed = with_claim(rule="test_accuracy(cnn) > 0.9")
    listed = differences(load_study(changed | {"comparisons": {}}), registered(STUDY))
    assert listed == {
        "changed": ["claim wins on digits"],
        "added": [],
        "removed": ["question convolution on digits"],
    }


def registered(config: dict) -> registration.Registration:
    """A registration from before any run."""
    return registration.register(load_study(config), files.now(), None, 0, registration.KnownRuns())


def test_the_hash_is_of_canonical_json_that_anyone_can_compute():
    fixed = content(load_study(STUDY))
    text = json.dumps(fixed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hash_of(STUDY) == hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# Files


class Folder:
    """A results folder in which a study is registered, and runs and looks are made up."""

    def __init__(self, results: Path) -> None:
        self.results, self.folder = results, layout.registered(layout.study_folder("made_up", results))

    def start(self, config: dict) -> str:
        """What a run says at its start."""
        return files.fix(load_study(config), self.folder, self.results, self.results / "kept", None)[1]

    def finish(self, config: dict, study: str = "made_up", seeds=TINY_SEEDS, variants=None) -> None:
        """Finished runs, as far as the registration reads them."""
        loaded = load_study(config)
        for variant in variants or loaded.plan.variants:
            for seed in seeds:
                path = layout.run(self.results / study, "digits", variant, seed) / "run.json"
                write_json(path, {"spec_hash": loaded.run("digits", variant, seed).spec_hash})

    def look(self, runs: int, results: str = "r", data: str = "digits=d") -> int:
        """An analysis; returns how many there are."""
        return len(files.add_look(self.folder, Look(0, files.now(), "", "", runs, "3", data, results)))

    def standings(self, config: dict, data: str = "d"):
        return files.standings(load_study(config), files.read(self.folder), 9, {"digits": data})


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


EDITED = with_claim(rule="test_accuracy(cnn) - test_accuracy(dense) > 0")
RENAMED = with_claim(id="victory", text="It wins.")
MORE = study_with(claims=[*STUDY["claims"], {**CLAIM, "id": "late", "rule": "test_accuracy(cnn) > 0.5"}])


def test_what_is_fixed_before_any_run_is_registered(folder):
    assert folder.start(STUDY).startswith("registered before any run: SHA-256 " + hash_of(STUDY))
    before = (folder.folder / "registration.json").read_bytes()
    folder.finish(STUDY)
    assert folder.start(STUDY) == "" and folder.start(RENAMED) == ""
    assert (folder.folder / "registration.json").read_bytes() == before
    for config, name in ((STUDY, "wins"), (RENAMED, "victory")):
        assert folder.standings(config).claim("digits", name) == Standing("registered", 0)
        assert folder.standings(config).question("digits", "kernel") == Standing("registered", 0)


def test_an_edit_before_any_finished_run_replaces_the_registration_and_keeps_the_earlier_one(folder):
    folder.start(STUDY)
    text = folder.start(EDITED)
    assert "before any run" in text and "replaces one that no run followed" in text
    assert files.read(folder.folder).registrations[0].sha256 == hash_of(EDITED)
    assert json.loads((folder.folder / "superseded-1.json").read_text())["sha256"] == hash_of(STUDY)
    assert folder.standings(EDITED).claim("digits", "wins") == Standing("registered", 0)


@pytest.mark.parametrize(
    ("config", "name", "status"), [(EDITED, "wins", "changed"), (MORE, "late", "added")], ids=["edited", "new"]
)
def test_a_claim_that_is_edited_or_new_after_a_look_says_after_how_many_runs(folder, config, name, status):
    folder.start(STUDY)
    folder.finish(STUDY)
    folder.look(9)
    assert "9 runs are known" in folder.start(config)
    folder.look(30, results="more")  # later looks do not change what was known then
    standings = folder.standings(config)
    assert standings.claim("digits", name) == Standing(status, 9)
    assert standings.claim("digits", "range") == Standing("registered", 0)
    assert standings.question("digits", "kernel") == Standing("registered", 0)
    assert folder.standings(STUDY).claim("digits", "wins") == Standing("registered", 0), "edited back"


def test_without_a_look_the_finished_runs_count(folder):
    folder.start(STUDY)
    folder.finish(STUDY, seeds=[1])
    folder.start(EDITED)
    assert folder.standings(EDITED).claim("digits", "wins") == Standing("changed", 3)


@pytest.mark.parametrize("changes", [{"seeds": 5}, {"statistics": {"rope": 0.01}}])
def test_seeds_or_a_rope_of_after_a_look_concern_every_verdict(folder, changes):
    folder.start(STUDY)
    folder.finish(STUDY)
    folder.look(9)
    folder.start(study_with(**changes))
    standings = folder.standings(study_with(**changes))
    assert standings.claim("digits", "wins") == standings.question("digits", "kernel") == Standing("changed", 9)


def test_other_images_under_the_same_name_are_a_change(folder):
    folder.start(STUDY)
    folder.look(9)
    assert folder.standings(STUDY, data="other").question("digits", "kernel") == Standing("changed", 9)
    assert folder.standings(STUDY).question("digits", "kernel") == Standing("registered", 0)


def test_a_study_with_runs_and_no_registration_has_registered_nothing(folder):
    folder.finish(STUDY)
    assert folder.standings(STUDY).claim("digits", "wins") == Standing("added", 9)
    assert "registered when 9 runs were known" in folder.start(STUDY)
    assert folder.standings(STUDY).claim("digits", "wins") == Standing("added", 9)
    assert folder.standings(STUDY).question("digits", "kernel") == Standing("added", 9)


def test_runs_that_another_study_has_finished_are_known(folder):
    folder.finish(STUDY, study="other", variants=["cnn", "dense"])
    folder.start(EDITED)
    standings = folder.standings(EDITED)
    assert standings.claim("digits", "wins") == Standing("added", 6)
    assert standings.question("digits", "convolution") == Standing("added", 6)
    assert standings.question("digits", "kernel") == Standing("registered", 0), "one of its sides is not known"


def test_runs_that_are_kept_are_known_after_the_results_were_deleted(folder):
    study = load_study(STUDY)
    for variant in study.plan.variants:
        write_json(
            folder.results / "kept" / variant / "run.json", {"spec_hash": study.run("digits", variant, 1).spec_hash}
        )
    folder.start(STUDY)
    assert folder.standings(STUDY).claim("digits", "wins") == Standing("added", 2)


def test_what_is_registered_and_dropped_after_a_look_is_still_counted(folder):
    folder.start(STUDY)
    folder.finish(STUDY)
    folder.look(9)
    without = study_with(claims=[CHAIN, SIZE])
    assert folder.start(without) == ""
    assert [label["name"] for label in folder.standings(without).removed] == ["wins"]
    edited = folder.standings(EDITED)
    assert [label["name"] for label in edited.dropped] == ["wins"] and edited.removed == []


@pytest.mark.parametrize("edit", [('"time": "2', '"time": "1'), ('"relation": ">"', '"relation": ">="'), ("{", "")])
def test_a_registration_that_was_altered_by_hand_is_named_and_registers_nothing(folder, edit):
    folder.start(STUDY)
    path = folder.folder / "registration.json"
    text = path.read_text()
    assert edit[0] in text
    path.write_text(text.replace(*edit, 1))
    assert files.read(folder.folder).altered == ("registration.json",)
    assert "registration.json" in folder.start(STUDY), "and it is not written over"
    assert folder.standings(STUDY).claim("digits", "wins").exploratory


def test_looks_are_counted_where_they_see_something_else(folder):
    assert [folder.look(9), folder.look(9), folder.look(12, "s"), folder.look(9)] == [1, 1, 2, 3]
    assert folder.look(9, data="digits=e") == 4
    rows = list(csv.DictReader((folder.folder / "looks.csv").open()))
    assert [row["look"] for row in rows] == ["1", "2", "3", "4"] and [row["runs"] for row in rows][:2] == ["9", "12"]


@pytest.mark.parametrize("edit", [("\n2,", "\n5,"), (",12,", ",9,"), ("\n1,", "\n#,")])
def test_an_altered_ledger_is_named(folder, edit):
    folder.look(9)
    folder.look(12, "s")
    path = folder.folder / "looks.csv"
    assert files.read(folder.folder).altered == ()
    path.write_text(path.read_text().replace(*edit))
    assert files.read(folder.folder).altered == ("looks.csv",)


# ---------------------------------------------------------------------------------------------------------------------
# By hand


def run_register(tmp_path, monkeypatch, capsys, config: dict, *arguments: str) -> tuple[int, str]:
    """Exit status and output of `register.py` in a folder."""
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(to_yaml(config))
    try:
        register.main(["study.yaml", *arguments])
    except SystemExit as end:
        return end.code, capsys.readouterr().out
    return 0, capsys.readouterr().out


def test_a_study_is_registered_and_verified_by_hand(tmp_path, monkeypatch, capsys):
    def run(config, *arguments):
        return run_register(tmp_path, monkeypatch, capsys, config, *arguments)

    status, text = run(STUDY)
    assert status == 0 and hash_of(STUDY) in text
    assert (
        "claim wins on digits: test_accuracy(cnn) - test_accuracy(dense) > 0.3 pp" in text and "seeds: 1, 2, 3" in text
    )
    assert run(RENAMED) == (0, run(STUDY)[1]), "registered again under other names"
    Folder(tmp_path / "results").finish(STUDY)
    assert run(STUDY)[0] == 0
    status, text = run(EDITED)
    assert status == register.DIFFERS and "changed since the registration: claim wins on digits" in text
    assert run(STUDY, "--verify", hash_of(STUDY))[0] == 0
    assert run(STUDY, "--verify", hash_of(STUDY)[:10])[0] == 0
    assert run(EDITED, "--verify", hash_of(STUDY))[0] == register.DIFFERS
    path = tmp_path / "results/made_up/registration/registration.json"
    path.write_text(path.read_text().replace('"looks": 0', '"looks": 1'))
    status, text = run(STUDY)
    assert status == register.ALTERED and "registration.json" in text


# ---------------------------------------------------------------------------------------------------------------------
# The family

CLOSE = {"dense": [0.899, 0.9, 0.901], "cnn": [0.904, 0.9066, 0.907], CNN_5X5: [0.906, 0.9074, 0.9102]}
FOUND = {"id": "found", "text": "Seen.", "rule": "test_accuracy(cnn) - test_accuracy(dense) > 0.05 pp"}


def family_of(config: dict, before: dict):
    """The family of a study that was registered as ``before``, and edited after nine runs."""
    study = load_study(config)
    runs = runs_with(study, CLOSE)
    standings = files.standings(study, Records((registered(before),)), 9, {})
    return family_by_registration(
        lambda asked: confirmatory_family(runs, study.plan, study.statistics.rope, asked=asked), standings
    )


def p_of_claim(family, name: str) -> float:
    p_adjusted = family.adjusted["claim", "digits", name][""]
    assert p_adjusted is not None
    return p_adjusted


def test_what_is_added_later_changes_no_verdict_of_what_was_registered():
    more = study_with(claims=[*STUDY["claims"], *({**FOUND, "id": f"found{n}"} for n in range(5))])
    family, alone = family_of(more, STUDY), family_of(STUDY, STUDY)
    assert p_of_claim(family, "wins") == p_of_claim(alone, "wins")
    for key in (("digits", "kernel"), ("digits", "convolution")):
        assert family.contrasts[key] == alone.contrasts[key]
        assert family.adjusted[key] == alone.adjusted[key] and family.equivalence[key] == alone.equivalence[key]


def test_a_claim_of_afterwards_is_held_to_the_bar_of_a_family_of_everything():
    more = study_with(claims=[*STUDY["claims"], FOUND])
    assert p_of_claim(family_of(more, STUDY), "found") == p_of_claim(family_of(more, more), "found")


def test_a_claim_that_is_dropped_after_a_look_makes_no_other_verdict_easier():
    without = study_with(claims=[CLAIM, SIZE])
    dropped, whole = family_of(without, STUDY), family_of(STUDY, STUDY)
    assert p_of_claim(dropped, "wins") >= p_of_claim(whole, "wins")
    assert p_of_claim(dropped, "wins") > p_of_claim(family_of(without, without), "wins")


def test_an_edited_claim_leaves_its_share_to_nobody():
    assert p_of_claim(family_of(EDITED, STUDY), "range") >= p_of_claim(family_of(STUDY, STUDY), "range")


# ---------------------------------------------------------------------------------------------------------------------
# In words


def texts(findings) -> str:
    return " ".join(finding.text for finding in findings)


def later(name: str, status: str = "changed", known: int = 9):
    """Standing of a row for a table in which one claim is not registered."""
    return lambda row: Standing(status, known) if getattr(row, "claim", "") == name else Standing()


def claims_with(name: str = "", **standing):
    """Made-up results of the study in which a claim is not registered."""
    results = results_with(CNN_WINS, config=STUDY)
    claims = results.claims.drop(columns=list(columns.REGISTRATION))
    return dataclasses.replace(results, claims=tables.with_registration(claims, later(name, **standing)))


def test_claims_are_called_registered_only_where_they_are():
    results = claims_with()
    assert texts(claims_registration(results.claims)) == "All claims: registered before any run."
    assert claims_count(results).text.startswith("Of 3 claims, ")
    results = claims_with("wins")
    text = texts(claims_registration(results.claims))
    assert "wins: changed after 9 runs were known. Read as exploratory" in text
    assert "range and size: registered before any run." in text
    assert re.match(r"Of 2 claims, .+\. Exploratory: Of 1 claim, 1 is ", claims_count(results).text)


def notices(results, config: dict, records: Records) -> str:
    standings = files.standings(load_study(config), records, 9, {})
    return texts(registration_notices(results, standings, records))


def test_the_first_screen_names_what_is_exploratory_and_is_silent_where_all_is_registered():
    records = Records((registered(STUDY),))
    assert notices(claims_with(), STUDY, records) == ""
    assert "1 of 5 verdicts are exploratory" in notices(claims_with("wins"), EDITED, records)
    text = notices(claims_with(), study_with(claims=[CHAIN, SIZE]), records)
    assert text.startswith("wins was registered and is no more in the config.")
    text = notices(claims_with(), study_with(seeds=4), records)
    assert "The seeds were changed after runs were known (n = 9), so every verdict is exploratory" in text
    text = notices(claims_with(), STUDY, Records(altered=("registration.json",)))
    assert text.startswith("The registration of this study is not as it was written: registration.json.")


def test_a_first_look_is_none_that_came_before():
    first = Look(1, "2026-03-01T12:00:00+00:00", "", "", 9, "3", "digits=d", "r")
    assert looks([first]) == []
    text = texts(looks([first, Look(2, "2026-03-02T12:00:00+00:00", "", "", 18, "6", "digits=d", "s")]))
    assert "This is look 2" in text and "look 1: 2026-03-01 12:00:00 UTC, 9 runs" in text


# ---------------------------------------------------------------------------------------------------------------------
# In the workflow


@pytest.mark.slow
def test_a_dry_run_registers_nothing(project):
    project.configure(TINY)
    assert project.planned()
    assert not (project.folder / "results").exists()


LATE = {"id": "late", "text": "It learns.", "rule": "test_accuracy(cnn) > 0.1"}


@pytest.mark.slow
def test_a_claim_of_after_the_runs_trains_nothing_and_is_called_exploratory(finished):
    folder = finished.folder / "results/tiny"
    fixed = (folder / "registration/registration.json").read_bytes()
    assert json.loads(fixed)["sha256"] == hash_of(TINY)
    assert finished.planned() == set()
    finished.configure(tiny_with(claims=[LATE]))
    assert finished.planned() == LAST_JOBS
    result = finished.snakemake()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "9 runs are known: claim late on digits; what depends on it is exploratory" in result.stderr
    assert (folder / "registration/registration.json").read_bytes() == fixed
    assert finished.planned() == set(), "an amendment alone runs nothing again"
    claim = read_table(folder / "compare/claims.csv").iloc[0]
    assert (claim["registration"], claim["n_runs_known"]) == ("added", 9)
    assert set(read_table(folder / "compare/comparisons.csv")["registration"]) == {"registered"}
    assert len(files.read(folder / "registration").looks) == 1, "the same test results are no other look"
    text = (folder / "report/report.md").read_text()
    assert "All claims: added after 9 runs were known" in text
    assert "1 of 3 verdicts are exploratory" in text.split("## Claims")[0]

    path = folder / "registration/registration.json"
    path.write_text(path.read_text().replace('"time": "2', '"time": "1'))
    assert finished.planned() == LAST_JOBS, "the page has to name what was altered"
