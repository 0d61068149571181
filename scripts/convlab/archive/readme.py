"""The README of an archive: what is what in it, how to check it and how to run the study again."""

import shlex
from dataclasses import dataclass

from convlab.study import layout


@dataclass(frozen=True)
class Facts:
    """What the README names.

    Attributes:
        study, title: name of the study, and what it is cited by.
        config: name of the config file in ``data/config/``.
        code: the commit in words.
        changed: whether ``data/code.diff`` is there.
        hub_models: datasets with a model in ``data/models/``.
        data, models: whether the prepared arrays, and the models of all runs, are in the archive.
        own_images: paths of the images by dataset, as the config has them, where it has any.
        outside: the user's own Python files that could not be put in.
        looks: whether the study took planned looks after the first.
        processor: on which the runs were trained.
        versions: of the software, ``name version``.
    """

    study: str
    title: str
    config: str
    code: str
    changed: bool
    hub_models: tuple[str, ...]
    data: bool
    models: bool
    own_images: dict[str, str]
    outside: tuple[str, ...]
    looks: bool
    processor: str
    versions: str

    @property
    def results(self) -> str:
        """Path of the study's results, in the archive's content as in a working folder."""
        return layout.study_folder(self.study).as_posix()

    @property
    def copy(self) -> str:
        """Path of the folder to run the study again in, seen from the archive's."""
        return f"../{self.study}-again"

    @property
    def archive(self) -> str:
        """Path of the archive's folder, seen from the code in that copy."""
        return f"../../{self.study}"

    @property
    def config_argument(self) -> str:
        """Path of the config seen from the code, quoted for a shell."""
        return shlex.quote(f"../config/{self.config}")


def readme(facts: Facts) -> str:
    """Text of the README, Markdown."""
    results = f"data/{facts.results}"
    models = facts.hub_models
    rows = [
        (f"{results}/report/index.html", "the report, one file for any browser; `report.md` is the same as text"),
        (f"{results}/compare/", "the tables as CSV, Markdown and LaTeX, and the figures"),
        (f"{results}/registration/", "what was fixed before the first run, and every look at the test images"),
        (f"{results}/train/", f"every run: spec, times, software, machine, history of its epochs{of_models(facts)}"),
        (f"{results}/evaluate/", "probabilities of every test image by every run, and measures of them"),
        (f"{results}/probe/", "what probes measured on trained models, if the study has any"),
        (f"{results}/prepare/", f"the data: manifest with checksums, Croissant metadata{of_data(facts)}"),
        (f"data/config/{facts.config}", "the config as it was written"),
        ("data/validated-config.json", "the same with all defaults"),
        ("data/code/", f"the code, {facts.code}; pinned environments are in its `requirements/` and `envs/`"),
        *([("data/code.diff", "what differs from that commit in files that it has")] if facts.changed else []),
        *((f"data/models/{name}/", "the exported model, a folder for the Hugging Face Hub") for name in models),
        ("data/ro-crate-metadata.json", "the same in JSON-LD, as a Workflow Run RO-Crate"),
        ("CITATION.cff", "how to cite it"),
        ("manifest-sha256.txt", "the SHA-256 of every file below `data/` (BagIt)"),
        ("tagmanifest-sha256.txt", "the SHA-256 of every other file, the manifest among them"),
    ]
    table = "\n".join(f"| `{path}` | {meaning} |" for path, meaning in rows)
    notes = "".join(f"\n{note}\n" for note in rerun_notes(facts))
    return TEXT.format(facts=facts, table=table, notes=notes)


TEXT = """# {facts.title}

All of the study `{facts.study}`: its results, and what is needed to check them and to run it again.

| | |
|---|---|
{table}

Logs, earlier states of the study and what can be made again from the rest are left out.

## Check it

With Python 3.11 or newer and no packages; in a clone of convlab, `make verify ARCHIVE=<zip or folder>` does the same:

```sh
python3 data/code/scripts/verify.py .
```

Without any code of this archive:

```sh
sha256sum --check --quiet manifest-sha256.txt tagmanifest-sha256.txt
```

Whoever changes a file can change the manifests, too. The checksums that `verify` prints tell, if they were also
published elsewhere, such as in a paper.

## Run it again

In a copy, since the archive has to stay as it is:

```sh
mkdir {facts.copy} && cp -r data/code data/config {facts.copy} && cd {facts.copy}/code
make run STUDY={facts.config_argument}
python3 scripts/verify.py {facts.archive} --against {facts.results}
```

The last line says what differs, times left out.
{notes}
The runs were trained on {facts.processor}, with {facts.versions}.
On the same kind of processor and with the pinned software weights, predictions and tables are the same to the byte;
elsewhere they may differ by rounding, which training makes larger.
"""


def of_models(facts: Facts) -> str:
    """What is said of the models of the runs."""
    return (
        ", and its model" if facts.models else "; the models were left out, their checksums are in `run.json.checksums`"
    )


def of_data(facts: Facts) -> str:
    """What is said of the prepared arrays."""
    return ", and the arrays" if facts.data else "; the arrays were left out and are made again"


def rerun_notes(facts: Facts) -> list[str]:
    """What else running again needs."""
    notes = [
        f"The images of `{name}` are not in the archive: put them at `{path}`, seen from the copied `code`."
        for name, path in facts.own_images.items()
    ]
    notes += [
        f"`{file}`, which builds a model, is not in the archive; its text is in `run.json`." for file in facts.outside
    ]
    if facts.looks:
        folder = f"{facts.results}/registration"
        notes.append(
            "The study took planned looks. To take the same: "
            f"`mkdir -p {folder} && cp {facts.archive}/data/{folder}/schedule.json {folder}` before `make run`."
        )
    if facts.models:
        arrays = "" if facts.data else "once with `ARGS='--until prepare'`, which makes the arrays, then as above: "
        notes.append(
            "Tables and report from the runs that are here, without training: "
            f"`cp -a {facts.archive}/data/results .`, with the files' times; "
            f"delete `compare` and `report` in `{facts.results}`; {arrays}`make run STUDY={facts.config_argument}`."
        )
    return notes
