"""A study speaks one language: every message has its translation, numbers and figures follow, tables stay."""

import copy
import gettext
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from itertools import product

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from babel.messages.pofile import read_po

import compare
import explore
import prepare
import report
import update_translations as messages
from builders.project import CNN_5X5, ROOT, TINY
from builders.results import CLAIMS_OF_EVERY_VERDICT, CNN_WINS, write_study_with
from builders.study_results import MADE_UP_STUDY, TWO_FACTORS, results_with, runs_with, seeds_around
from convlab.common import i18n
from convlab.common.files import read_json, write_json
from convlab.datasets.registry import kinds
from convlab.errors import UserError
from convlab.figures import accuracy, errors
from convlab.figures import dataset as data_charts
from convlab.figures.series import Series
from convlab.figures.style import localise, use_style
from convlab.language import numbers
from convlab.language.contrasts import VERDICTS
from convlab.probes import registry as probes
from convlab.probes.measured import Measured
from convlab.probes.tables import all_contrasts, all_curves
from convlab.study.load import load_study

TRANSLATIONS = [language for language in i18n.LANGUAGES if language != i18n.SOURCE]


def catalogue(language: str):
    with i18n.catalogue(language).open("rb") as file:
        return read_po(file, locale=language)


def forms(message) -> tuple[str, ...]:
    """The singular, or all forms, of what a message says in the source and in the translation."""
    return tuple(message.string) if message.pluralizable else (message.string,)


@pytest.fixture(scope="module")
def sources():
    """All messages of the source."""
    return messages.extracted()


# ---------------------------------------------------------------------------------------------------------------------
# Catalogues


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_every_message_of_the_source_is_translated_and_nothing_else_is(sources, language):
    known = catalogue(language)
    wanted = {(message.context, message.id) for message in sources if message.id}
    there = {(message.context, message.id) for message in known if message.id}
    assert wanted - there == set(), "run: make messages, and translate"
    assert there - wanted == set(), "run: make messages"
    assert [message.id for message in known if message.id and not all(forms(message))] == []
    assert [message.id for message in known if message.id and message.fuzzy] == []
    assert not known.obsolete


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_the_catalogue_is_as_make_messages_writes_it(sources, language):
    path = i18n.catalogue(language)
    assert path.read_text(encoding="utf-8") == messages.text(messages.updated(path, sources, language), language)


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_placeholders_are_those_of_the_source(language):
    for message in catalogue(language):
        sources = message.id if message.pluralizable else (message.id,)
        wanted = set().union(*map(messages.placeholders, sources))
        for text in forms(message):
            # A form for one thing may leave out what another one says.
            lacking, added = wanted - messages.placeholders(text), messages.placeholders(text) - wanted
            assert not added, message.id
            assert not lacking or (
                message.pluralizable and messages.placeholders(text) in [*map(messages.placeholders, sources)]
            ), message.id


def test_extraction_sees_calls_with_constant_texts_wherever_they_stand():
    source = """
x = f"a {_('in an f-string')}"
_(TABLE["not a message"]), _({"a": N_("in a table")}["a"]), ngettext("one", "many", 3), i18n.pgettext("place", "word")
_("two "
  "lines", name=1)
"""
    keywords = dict.fromkeys(("_", "N_", "ngettext", "pgettext"))
    extracted = {texts[:2] for _, _, texts, _ in messages.calls(io.BytesIO(source.encode()), keywords, (), {})}
    assert extracted == {("in an f-string",), ("in a table",), ("one", "many"), ("place", "word"), ("two lines",)}


def test_fields_of_models_and_training_need_no_mark(sources):
    assert {"kernel size", "Side of the square kernels, pixels.", "learning rate"} <= {
        message.id for message in sources
    }


CODE_CELL = re.compile(r"{% call code\(\) %}.*?{% endcall %}", re.DOTALL)
"""Code of a notebook; tests/test_notebook.py looks for texts in it."""


def test_templates_hold_no_prose_of_their_own():
    """Those of the report and of notebooks; model cards and `make diff` speak English."""
    english = {ROOT / "report/MODEL_CARD.md.j2", *(ROOT / "report/diff").iterdir()}
    for path in sorted({*(ROOT / "report").rglob("*.j2")} - english):
        source = re.sub(CODE_CELL, "", path.read_text(encoding="utf-8"))
        tokens = jinja2.Environment().lex(source)
        prose = "".join(value for _, kind, value in tokens if kind == "data")
        prose = re.sub(r"<!--.*?-->|<style>.*?</style>", "", prose, flags=re.DOTALL)
        plain = re.sub(r"<[^>]*>|<[^>]*$|^[^<>]*>|[a-z-]+=\"", " ", prose)
        assert re.findall(r"[A-Za-z]{4,}", plain) in ([], ["convlab"]), path


def test_what_manifests_say_in_words_of_ours_is_translated():
    own = [kind for kind in kinds().values() if kind.spec.users_own]
    texts = {text for kind in own for text in (kind.source, kind.licence)} | {kinds()["cifar10"].licence}
    with i18n.in_language("es"):
        assert [text for text in texts if i18n.gettext(text) == text] == []


def test_what_users_wrote_is_never_looked_up():
    with i18n.in_language("es"):
        assert i18n.gettext("{variant} is better than {reference}", variant="Note", reference="{x} all") == (
            "Note es mejor que {x} all"
        )
        assert i18n.gettext("") == ""


def test_plurals_and_contexts():
    more_rows = lambda n: i18n.ngettext("{n} more row", "{n} more rows", n)  # noqa: E731
    assert [more_rows(n) for n in (1, 2, 1000)] == ["1 more row", "2 more rows", "1,000 more rows"]
    with i18n.in_language("es"):
        assert [more_rows(n) for n in (1, 2, 1000)] == ["1 fila más", "2 filas más", "1000 filas más"]
        assert i18n.pgettext("runs", "none") != i18n.gettext("none")
    assert isinstance(i18n._current.messages, gettext.NullTranslations)
    assert more_rows(2) == "2 more rows"


@pytest.mark.parametrize("names, english, spanish", [
    (["a"], "a", "a"),
    (["a", "b"], "a and b", "a y b"),
    (["a", "b", "Inception"], "a, b and Inception", "a, b e Inception"),
    (["a", "hielo"], "a and hielo", "a y hielo"),
    ([str(i) for i in range(20)], "0, 1, 2, 3, 4, 5, 6 and 13 more", "0, 1, 2, 3, 4, 5, 6 y 13 más"),
])  # fmt: skip
def test_lists(names, english, spanish):
    assert i18n.listing(names) == english
    with i18n.in_language("es"):
        assert i18n.listing(names) == spanish


# ---------------------------------------------------------------------------------------------------------------------
# Numbers and dates


@pytest.mark.parametrize("value, form, english, spanish", [
    (0.2848, ".4f", "0.2848", "0,2848"),
    (220234, ",", "220,234", "220.234"),
    (9258, ",", "9,258", "9258"),
    (-1234567.891, ",.2f", "−1,234,567.89", "−1.234.567,89"),
    (2.5, "+.2f", "+2.50", "+2,50"),
    (-0.5, "+.1f", "−0.5", "−0,5"),
    (1e-05, "g", "1e−05", "1e−05"),
    (3, "", "3", "3"),
])  # fmt: skip
def test_numbers(value, form, english, spanish):
    assert i18n.number(value, form) == english
    with i18n.in_language("es"):
        assert i18n.number(value, form) == spanish


def test_p_values_follow_the_style_of_their_language():
    assert [numbers.format_p(p) for p in (0.0004, 0.0312, 0.34, 0.995)] == [
        "p < .001",
        "p = .031",
        "p = .34",
        "p > .99",
    ]
    with i18n.in_language("es"):
        formatted = [numbers.format_p(p) for p in (0.0004, 0.0312, 0.34, 0.995)]
    assert formatted == ["p < 0,001", "p = 0,031", "p = 0,34", "p > 0,99"]


def test_units_stay_with_their_number_in_a_translation():
    assert i18n.with_unit("95.59", "%") == "95.59 %"
    assert i18n.with_unit("3", "") == "3"
    with i18n.in_language("es"):
        assert i18n.with_unit("95,59", "%") == "95,59\u00a0%"
        assert i18n.gettext("95 % CI") == "IC del 95\u00a0%"


def test_dates():
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert i18n.instant(when) == "2026-01-02 03:04:05 UTC"
    with i18n.in_language("es"):
        assert i18n.instant(when) == "2 ene 2026, 3:04:05 UTC"


# ---------------------------------------------------------------------------------------------------------------------
# Config and plan


def test_a_language_that_there_is_not_is_refused():
    with pytest.raises(UserError, match=r"report\.language should be en or es"):
        load_study({**MADE_UP_STUDY, "report": {"language": "fr"}})


def test_variants_have_the_same_names_in_every_language_and_labels_in_their_own():
    config = copy.deepcopy(MADE_UP_STUDY)
    config["experiments"] |= {
        "norm": {"base": "cnn", "factor": "norm", "levels": ["none", "batch"]},
        "pool": {"base": "cnn", "factor": "pooling", "levels": ["max", "none"]},
        "rate": {"base": "cnn", "factor": "learning_rate", "levels": [0.001, 0.01]},
        "more": {"base": "cnn", "factor": "augmentation", "levels": [None, {"flip": "horizontal", "shift": 2}]},
    }
    config["probes"] = {"pixel_permutation": {}, "sample_efficiency": {"sizes": [100, 1000, None]}}
    english = load_study(config).plan
    spanish = load_study({**config, "report": {"language": "es"}}, for_readers=True).plan
    assert list(english.variants) == list(spanish.variants)
    assert english.aliases == spanish.aliases
    labels = {name: variant.label for name, variant in spanish.variants.items()}
    assert labels[CNN_5X5] == "CNN, tamaño del núcleo 5×5"
    assert labels["cnn-norm-batch"] == "CNN, normalización batch"
    assert labels["cnn-learning_rate-0.01"] == "CNN, tasa de aprendizaje 0,01"
    assert labels["cnn-shuffled-1"] == "CNN, píxeles permutados"
    assert spanish.questions["convolution"].text == "¿Supera CNN a Dense?"
    assert english.questions["convolution"].text == "Does CNN beat Dense?"


def test_only_the_language_of_the_report_is_a_setting_of_tables_and_figures():
    plain = load_study(MADE_UP_STUDY).settings
    assert load_study({**MADE_UP_STUDY, "report": {"language": "en", "title": "A title"}}).settings == plain
    assert load_study({**MADE_UP_STUDY, "report": {"language": "es"}}).settings != plain


def test_reading_a_config_imports_no_babel():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); from convlab.study.load import load_study; "
        f"load_study({ {**MADE_UP_STUDY, 'report': {'language': 'es'}}!r}); sys.exit('babel' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


# ---------------------------------------------------------------------------------------------------------------------
# Tables are for programs


def test_tables_keep_identifiers_and_numbers_and_only_say_sentences_in_another_language():
    config = {**MADE_UP_STUDY, "claims": CLAIMS_OF_EVERY_VERDICT}
    values = {"dense": [0.9, 0.9012, 0.8991], "cnn": seeds_around(0.95), CNN_5X5: [0.9513, 0.9502, 0.9493]}
    english = results_with(values, config=config)
    with i18n.in_language("es"):
        spanish = results_with(values, config=config)
    of_comparisons = ["sentence", *(f"new_images_{part}" for part in ("sentence", "narrowing", "scatter"))]
    for name, prose in (("comparisons", of_comparisons), ("claims", ["reason"]), ("runs", []), ("per_class", [])):
        first, second = getattr(english, name), getattr(spanish, name)
        pd.testing.assert_frame_equal(first.drop(columns=prose), second.drop(columns=prose))
        for column in prose:
            assert not (first[column] == second[column]).any()
    assert set(spanish.comparisons["verdict"]) <= set(VERDICTS)
    sentence = spanish.comparisons.set_index("experiment").loc["convolution", "sentence"]
    assert sentence.startswith(
        "CNN frente a Dense tuvo un cambio de +4,99\u00a0pp en exactitud de prueba (IC del 95\u00a0%: +4,"
    )
    assert sentence.endswith("mejor.")
    reasons = dict(zip(spanish.claims["claim"], spanish.claims["reason"], strict=True))
    assert reasons["size"] == "parameters(cnn) es 9258, exactamente."
    assert reasons["small"] == "parameters(cnn) es 9258, no menor que 1000 (diferencia: +8258)."
    assert "t emparejada p < 0,001" in reasons["wins"]


# ---------------------------------------------------------------------------------------------------------------------
# The report


class Visible(HTMLParser):
    """What a reader sees or hears of a page that convlab wrote: text and describing attributes, code left out."""

    SILENT = ("style", "code", "pre", "script", "template")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts, self.open, self.languages = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "html":
            self.languages.append(attributes.get("lang"))
        self.parts += [attributes[name] for name in ("alt", "title", "aria-label") if attributes.get(name)]
        if attributes.get("id") == "words":  # what the page's script will show
            self.parts += [value for name, value in attributes.items() if name not in ("id", "data-colours")]
        if tag in self.SILENT or attributes.get("class") == "references":
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        if not self.open:
            self.parts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[^\S\xa0]+", " ", " ".join(self.parts))


NAMES = """
    digits dense cnn conv Dense CNN Keras kernel_size flatten adam same valid relu float keras python scikit learn chip
    Linux MIT Zalando small wins size best kernel convolution both other min input pool norm output
"""
"""Names in the made-up studies, of Keras, of layers and of units, which stay as they are in every language."""


def english_words() -> set[str]:
    """Words of our messages that are no words of their translations."""
    source, translation = set(), set()
    for message in catalogue("es"):
        for text in message.id if message.pluralizable else (message.id,):
            source |= words(re.sub(r"\{\w+\}", " ", text))
        for text in forms(message):
            translation |= words(re.sub(r"\{\w+\}", " ", text))
    return source - translation - words(NAMES)


def words(text: str) -> set[str]:
    """Words in lower case; code in backticks, identifiers with an underscore, quantities and addresses are left out."""
    text = re.sub(r"`[^`]*`|\{\w+\}|\S*_\S*|https?:\S+|\w+\([\w-]+\)", " ", text)
    return {word.lower() for word in re.findall(r"\b[^\W\d_]{2,}\b", text)}


def study(name: str) -> tuple[dict, dict, dict]:
    """Config, accuracies and options of made-up studies that make the rules say different things."""
    mixed = {"dense": [0.93, 0.95, 0.94], "cnn": [0.93, 0.97, 0.95], CNN_5X5: [0.95, None, 0.951]}
    loses = {"dense": seeds_around(0.95), "cnn": seeds_around(0.90), CNN_5X5: seeds_around(0.90)}
    equal = {variant: seeds_around(0.95, (-0.0002, 0.0, 0.0002)) for variant in CNN_WINS}
    confused = np.eye(10, dtype=int) * 85 + np.eye(10, k=1, dtype=int) * 5
    two = {"datasets": {"digits": {}, "other": {"kind": "digits"}}}
    return {
        "win": ({"claims": CLAIMS_OF_EVERY_VERDICT}, CNN_WINS, {"confusion": confused}),
        "open": ({"claims": CLAIMS_OF_EVERY_VERDICT}, mixed, {"kept": 4, "confidence": 0.05}),
        "lose": (two, loses, {"confidence": -0.05}),
        "equal": ({}, equal, {}),
        "smoke": ({"seeds": 2, "claims": CLAIMS_OF_EVERY_VERDICT}, {name: CNN_WINS[name][:2] for name in CNN_WINS}, {}),
        "nothing": ({}, {"dense": seeds_around(0.9), "cnn": [None] * 3, CNN_5X5: seeds_around(0.9)}, {}),
        "grid": (TWO_FACTORS,
                 [seeds_around(0.95), seeds_around(0.9), [0.952, 0.95, 0.948], seeds_around(0.95), seeds_around(0.99)],
                 {}),
        "probes": ({"probes": {"pixel_permutation": {}, "translation": {}, "receptive_field": {}, "calibration": {},
                               "sample_efficiency": {"sizes": [100, 1000, None]}}}, None, {}),
        "dense": ({"models": {"dense": MADE_UP_STUDY["models"]["dense"]}, "experiments": {}, "comparisons": {}},
                  {"dense": seeds_around(0.9)}, {}),
    }[name]  # fmt: skip


def measured_probes(config: dict, accuracies: list) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The probes' curves and contrasts of made-up runs."""
    made = load_study(config, for_readers=True)
    runs = runs_with(made, dict(zip(made.plan.variants, accuracies, strict=True)))
    rows = []
    columns = ["dataset", "variant", "seed", *probes.part("translation", "measure").COLUMNS]
    for variant, fall in (("cnn", 0.1), ("dense", 0.2)):
        for seed, axis, shift in product((1, 2, 3), ("horizontal", "vertical"), range(-2, 3)):
            kept = 1 - fall * abs(shift) - 0.01 * seed * bool(shift)
            rows.append(("digits", variant, seed, axis, shift, 0.9 - 0.1 * abs(shift), kept))
    measured = {"translation": Measured(pd.DataFrame(rows, columns=columns))}
    return all_curves(runs, made.plan, measured), all_contrasts(runs, made.plan, measured)


def spanish_report(folder, name: str) -> tuple[str, str]:
    """Both reports of a made-up study in Spanish, with figures as compare would call them."""
    changes, accuracies, options = study(name)
    claims = [{**claim, "text": "T", "source": "S", "published": None} for claim in changes.get("claims", [])]
    experiments = copy.deepcopy(changes.get("experiments", MADE_UP_STUDY["experiments"]))
    config = {**MADE_UP_STUDY, **changes, "question": "¿?", "claims": claims, "experiments": experiments,
              "report": {"language": "es"}}  # fmt: skip
    i18n.set_language("es")
    if accuracies is None:
        count = len(load_study(config, for_readers=True).plan.variants)
        accuracies = [seeds_around(0.95 - 0.01 * index) for index in range(count)]
        options = {**options, "probed": measured_probes(config, accuracies)}
    write_study_with(folder, config, accuracies, **options)
    summary = read_json(folder / "compare/summary.json")
    compared = load_study(config, for_readers=True).plan.compared  # as compare does, which looks at these only
    summary["figures"] = [
        {**figure, "title": "Figura", "caption": "Regla.", "reading": "Modo."}
        for figure in summary["figures"]
        if figure.get("variant", "cnn") in {*compared, "cnn"}
    ]
    for figure in summary["figures"]:
        for group in (figure.get("tiles") or {"groups": []})["groups"]:
            group["lines"] = []
    for dataset, matrices in summary["confusions"].items():
        summary["confusions"][dataset] = {name: matrices[name] for name in matrices if name in compared}
    write_json(folder / "compare/summary.json", summary)
    i18n.set_language("en")
    report.main(["--config", json.dumps(config), "--results-dir", str(folder)])
    return tuple((folder / "report" / file).read_text(encoding="utf-8") for file in ("index.html", "report.md"))


@pytest.fixture(scope="module")
def spanish(tmp_path_factory):
    """Both Spanish reports of a made-up study, by its name; each is written once."""
    return cache(lambda name: spanish_report(tmp_path_factory.mktemp(name), name))


STUDIES = ("win", "open", "lose", "equal", "smoke", "nothing", "grid", "probes", "dense")


@pytest.mark.parametrize("name", STUDIES)
def test_a_spanish_report_says_nothing_in_english(spanish, name):
    html, markdown = spanish(name)
    page = Visible(html)
    assert page.languages == ["es"]
    forbidden = english_words()
    assert {"the", "accuracy", "seeds", "better", "with"} <= forbidden
    assert words(page.text) & forbidden == set()
    prose = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    prose = re.sub(r"## Referencias.*?(?=\n## )|\]\([^)]*\)|<[^>]*>|`[^`]*`|\w+\\_\w+\S*", " ", prose, flags=re.DOTALL)
    assert words(prose) & forbidden == set()


@pytest.mark.parametrize("name", STUDIES)
def test_a_spanish_report_writes_numbers_with_decimal_commas(spanish, name):
    html, _ = spanish(name)
    text = re.sub(r"python \S+|keras \S+|CC BY 4\.0", "", Visible(html).text)
    assert re.findall(r"\S*\d\.\d(?!\d\d(?!\d))\S*", text) == []
    assert re.search(r"\d,\d", text)
    assert not re.search(r"\d,\d{3},\d", text)
    assert not re.search(r"\d (%|pp\b)", text.replace("\u00a0", "_")), "numbers part from their units"


def test_a_template_that_forgets_to_translate_is_found(tmp_path, monkeypatch):
    """The test above can fail."""
    wrong = report.environment

    def english_template(kind):
        made = wrong(kind)  # the same for all reports
        monkeypatch.setitem(
            made.globals, "_", lambda message, **values: message.format(**values) if values else message
        )
        return made

    monkeypatch.setattr(report, "environment", english_template)
    html, _ = spanish_report(tmp_path, "equal")
    assert words(Visible(html).text) & english_words()


def test_an_english_report_is_the_same_after_a_spanish_one(tmp_path):
    pages = []
    for moment in ("before", "after"):
        config = write_study_with(tmp_path / moment, MADE_UP_STUDY, CNN_WINS)
        report.main(["--config", json.dumps(config), "--results-dir", str(tmp_path / moment)])
        pages.append((tmp_path / moment / "report/index.html").read_bytes())
        spanish_report(tmp_path / "spanish", "win")
        i18n.set_language("en")
    assert pages[0] == pages[1]
    assert b'<html lang="en">' in pages[0]


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def shown(figure) -> list[str]:
    """Every text of a figure as it is drawn."""
    localise(figure)
    figure.canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    for axes in figure.axes:
        for title in (axes.xaxis.label, axes.yaxis.label, axes.title, *filter(None, [figure._suptitle])):
            box = title.get_window_extent()
            room = [box.x0 > -1, box.y0 > -1, box.x1 < width + 1, box.y1 < height + 1]
            assert all(room) or not title.get_text(), f"{title.get_text()!r} does not fit"
    texts = [text.get_text() for text in figure.findobj(plt.Text) if text.get_visible()]
    plt.close(figure)
    return [text for text in texts if text]


def drawn() -> list[str]:
    rows = pd.DataFrame([{"difference": 0.0125, "ci_low": -0.011, "ci_high": 0.0366, "verdict": "inconclusive"}])
    variants = pd.DataFrame([{
        "label": "CNN", "parameters": 220234, "macs": 10**6, "seconds_per_epoch": 1.25, "test_accuracy_mean": 0.9512,
        "test_accuracy_sd": 0.0125,
    }])  # fmt: skip
    history = pd.DataFrame({"seed": 1, "epoch": [1, 2], "loss": [0.9, 0.42], "accuracy": [0.5, 0.71],
                            "val_loss": [0.95, 0.5], "val_accuracy": [0.52, 0.69],
                            "learning_rate": [0.012, 0.0015]})  # fmt: skip
    recalls = pd.DataFrame({"variant": "cnn", "class": ["a", "b"], "recall": [0.912, 0.5], "recall_sd": [0.01, 0.02]})
    cnn = Series("cnn", "CNN", 0)
    means = np.array([[0.9512, 0.93], [0.94, np.nan]])
    use_style()
    image = np.zeros((8, 8, 1), np.uint8)
    figures = [
        accuracy.every_seed([cnn], [{1: 0.9512, 2: 0.9534}], [(0.94, 0.96)], ""),
        accuracy.forest(rows, [replace(cnn, label="CNN − Dense")], 0.005),
        accuracy.combinations(means, means / 100, ("a", "b"), (("1", "2"), ("3", "4")), (0, 0)),
        accuracy.learning_curves([(cnn, history)]),
        accuracy.against_costs(variants, [cnn]),
        errors.confusion(np.eye(3), ["a", "b", "c"]),
        errors.calibration([(cnn, np.array([[0.5, 0.52, 10.0]]))]),
        errors.recall_by_class(recalls, [cnn], ["a", "b"]),
        data_charts.intensities(np.arange(256)[np.newaxis] + 1),
        data_charts.near_duplicates([(image, image)] * 8, [("a", "b", False)] * 8, 10.0),
        data_charts.dimensions(image, 12345, np.array([4, 5]), np.array([3, 8])),
        data_charts.class_distribution(["a", "b"], np.array([12345, 900]), np.array([10, 20])),
    ]
    return [text for figure in figures for text in shown(figure)]


def test_figures_are_labelled_in_the_language_with_its_numbers():
    english = drawn()
    with i18n.in_language("es"):
        spanish = drawn()
    assert "Test accuracy, %" in english and "12,345" in english
    assert {
        "Exactitud de prueba, %",
        "CNN − Dense\nno concluyente",
        "Clase verdadera",
        "12.345",
        "±\xa00,5\u00a0pp",
    } & set(spanish)
    assert not words(" ".join(spanish)) & english_words()
    assert not [text for text in spanish if re.search(r"\d\.\d(?!\d\d(?!\d))", text) and "mathdefault" not in text]
    assert any(re.fullmatch(r"−?\d+,\d+", text) for text in spanish), "ticks have decimal commas"


def test_explore_draws_in_a_language_and_measures_the_same(tmp_path):
    prepare.main(["--dataset", "digits", "--spec", '{"kind": "digits", "train_images": 200, "test_images": 50}',
                  "--output-dir", str(tmp_path / "d")])  # fmt: skip
    for language in i18n.LANGUAGES:
        explore.main(
            ["--data-dir", str(tmp_path / "d"), "--output-dir", str(tmp_path / language), "--language", language]
        )
    english, spanish = tmp_path / "en", tmp_path / "es"
    first, second = (read_json(folder / "summary.json") for folder in (english, spanish))
    assert first.pop("tiles") != second.pop("tiles"), "titles of pairs"
    assert first == second
    for name in ("class_distribution", "dimensions", "intensities", "near_duplicates"):
        assert (english / f"{name}.svg").read_bytes() != (spanish / f"{name}.svg").read_bytes()
    assert (english / "mean_images.png").read_bytes() == (spanish / "mean_images.png").read_bytes()


@pytest.mark.slow
def test_compare_speaks_the_language_of_the_report(finished_study, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(finished_study.folder / "results/tiny", folder)
    settings = load_study({**TINY, "report": {"language": "es"}}).settings
    compare.main(["--settings", json.dumps(settings), "--results-dir", str(folder)])
    figures = read_json(folder / "compare/summary.json")["figures"]
    assert not words(" ".join(f"{figure['title']} {figure['caption']}" for figure in figures)) & english_words()
    before, after = (
        pd.read_csv(study_folder / "compare/runs.csv")
        for study_folder in (finished_study.folder / "results/tiny", folder)
    )
    pd.testing.assert_frame_equal(before, after)
    printed = (folder / "compare/runs.tex").read_text(encoding="utf-8")
    assert "\\caption{Todas las ejecuciones del estudio en digits." in printed
