# Tables and figures over all runs. Its parameter is the config without what only explains, so that a caption does not
# compute anything again; the files' names follow from it, since thousands of them would not fit a command line.
COMPARE_TABLES = [
    "runs",
    "variants",
    "comparisons",
    "claims",
    "trends",
    "factorials",
    "per_class",
    "probe_curves",
    "probe_contrasts",
]

# For `snakemake --report`: the sections of summary.json as its categories.
FIGURE_CATEGORIES = {
    "overview": "Accuracy",
    "question": "Questions",
    "probes": "Probes",
    "curves": "Curves and costs",
    "costs": "Curves and costs",
    "calibration": "Calibration",
    "errors": "Errors",
    "features": "What was learned",
}


rule compare:
    input:
        code=local(code("compare")),
        messages=local(messages()),
        data=ancient(of_all(rules.prepare.output.data)),
        manifests=of_all(rules.prepare.output.manifest),
        runs=of_all(rules.train.output.run),
        histories=of_all(rules.train.output.history),
        metrics=of_all(rules.evaluate.output.metrics),
        predictions=of_all(rules.evaluate.output.predictions),
        features=of_all(rules.evaluate.output.features),
        shifts=translation_tables(),
    output:
        tables=expand(f"{RESULTS}/compare/{{table}}.{{suffix}}", table=COMPARE_TABLES, suffix=["csv", "md", "tex"]),
        summary=ensure(f"{RESULTS}/compare/summary.json", non_empty=True),
        numbers=ensure(f"{RESULTS}/compare/numbers.tex", non_empty=True),
        figures=report(
            directory(f"{RESULTS}/compare/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category=lambda wildcards: FIGURE_CATEGORIES[figure_entry(wildcards.figure)["section"]],
            subcategory=lambda wildcards: figure_entry(wildcards.figure)["dataset"],
            labels=lambda wildcards: {"Figure": plain(figure_entry(wildcards.figure)["title"])},
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
        settings=lambda wildcards: json_argument(study.settings),
    message:
        "Compare all runs"
    shell:
        "python {input.code[0]:q} --settings {params.settings:q} --results-dir $(dirname $(dirname {output.summary:q}))"
        " --processes {threads} > {log:q} 2>&1"
