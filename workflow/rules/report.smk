# One page from everything that was measured. Files of compare are named as text: Snakemake looks up every input of a rule
# that refers to another rule's output in a way whose time grows with the square of the number of runs (9.27).
rule report:
    input:
        checked=verified("report"),
        tables=COMPARE_FILES,
        summary=f"{COMPARE}/summary.json",
        figures=f"{COMPARE}/figures",
        explore=of_all(f"{EXPLORE}/summary.json"),
        explore_figures=[
            file
            for pattern in [
                *(f"{EXPLORE}/{figure}.svg" for figure in EXPLORE_FIGURES),
                *EXPLORE_PRINTS,
                *EXPLORE_TILES,
                *EXPLORE_NUMBERS,
            ]
            for file in of_all(pattern)
        ],
        manifests=of_all(f"{PREPARE}/manifest.json"),
        described=descriptions(),
        runs=lambda wildcards: of_runs(f"{TRAIN}/run.json"),
        histories=lambda wildcards: of_runs(f"{TRAIN}/history.csv"),
        metrics=of_all(f"{EVALUATE}/metrics.json"),
    output:
        page=report(
            f"{REPORT}/index.html",
            caption="../report/page.rst",
            category="Report",
            labels={"Page": "All of the study"},
        ),
        text=f"{REPORT}/report.md",
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        code=report_code(),
        messages=messages(),
        templates=templates(),
        config=lambda wildcards: json_argument(study.validated_config),
        schedule=schedule_argument,
        deployments=lambda wildcards: deployments(),
        files=lambda wildcards: config_files(),
        values=lambda wildcards: json_argument(config_values()),
        made_from=made_from("report"),
        altered=lambda wildcards: altered_registration(),
        registration=registration,
        results=folder(RESULTS),
        folder=folder(REPORT),
    message:
        "Write the report"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/report.py" --config {params.config:q} --schedule {params.schedule:q} --config-file {params.files:q} --config-values {params.values:q}'
        " --results-dir {params.results:q} --registration-dir {params.registration:q} > {log:q} 2>&1 && "
        "echo {params.made_from} > {params.folder:q}/.made_from"
