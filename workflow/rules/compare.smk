# Tables and figures over all runs. Its parameter is the config without what only explains, so that a caption does not
# compute anything again; the files' names follow from it, since thousands of them would not fit a command line.
COMPARE_TABLES = [
    "runs",
    "variants",
    "comparisons",
    "robustness",
    "tuning",
    "claims",
    "trends",
    "factorials",
    "per_class",
    "convolutions",
    "timings",
    "probe_curves",
    "probe_contrasts",
]

COMPARE_FILES = [f"{COMPARE}/{table}.{suffix}" for table in COMPARE_TABLES for suffix in ("csv", "md", "tex")]

# For `snakemake --report`: the sections of summary.json as its categories.
FIGURE_CATEGORIES = {
    "overview": "Accuracy",
    "question": "Questions",
    "probes": "Probes",
    "tuning": "Tuning",
    "curves": "Curves and costs",
    "costs": "Curves and costs",
    "calibration": "Calibration",
    "errors": "Errors",
    "features": "What was learned",
}


rule compare:
    input:
        checked=verified("compare"),
        data=ancient(of_all(f"{PREPARE}/data.npz")),
        manifests=of_all(f"{PREPARE}/manifest.json"),
        described=descriptions(),
        runs=lambda wildcards: of_runs(f"{TRAIN}/run.json", variants=study.plan.trained),
        histories=lambda wildcards: of_runs(f"{TRAIN}/history.csv"),
        metrics=of_all(f"{EVALUATE}/metrics.json"),
        predictions=of_all(f"{EVALUATE}/predictions.npz"),
        features=of_all(f"{EVALUATE}/features.npz"),
        tuned=of_tuned(f"{TUNED}/metrics.json"),
        near_duplicates=of_all(f"{EXPLORE}/near_duplicates.csv"),
        probed=probe_tables(),
    output:
        tables=COMPARE_FILES,
        summary=f"{COMPARE}/summary.json",
        numbers=f"{COMPARE}/numbers.tex",
        figures=report(
            directory(f"{COMPARE}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category=lambda wildcards: FIGURE_CATEGORIES[figure_entry(wildcards.figure)["section"]],
            subcategory=lambda wildcards: figure_entry(wildcards.figure)["dataset"],
            labels=lambda wildcards: {"Figure": strip_report_markup(figure_entry(wildcards.figure)["title"])},
        ),
    log:
        f"{LOGS}/compare.log",
    benchmark:
        f"{BENCHMARKS}/compare.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 4
    params:
        code=compare_code(),
        messages=messages(),
        settings=lambda wildcards: json_argument(study.settings),
        schedule=schedule_argument,
        timings=lambda wildcards: timings(),
        made_from=made_from("compare"),
        altered=lambda wildcards: altered_registration(),
        registration=registration,
        results=folder(RESULTS),
        folder=folder(COMPARE),
    message:
        "Compare all runs"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/compare.py" --settings {params.settings:q} --schedule {params.schedule:q} --results-dir {params.results:q} --registration-dir {params.registration:q}'
        " --processes {threads} > {log:q} 2>&1 && "
        "echo {params.made_from} > {params.folder:q}/.made_from"
