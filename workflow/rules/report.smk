# One page from everything that was measured. Files of compare are named as text: Snakemake looks up every input of a rule
# that refers to another rule's output in a way whose time grows with the square of the number of runs (9.27).
rule report:
    input:
        code=local(code("report")),
        messages=local(messages()),
        templates=local(templates()),
        tables=list(map(written, rules.compare.output.tables)),
        summary=written(rules.compare.output.summary),
        figures=written(rules.compare.output.figures),
        explore=of_all(rules.explore.output.summary),
        explore_figures=[
            file
            for pattern in [
                *rules.explore.output.figures,
                *rules.explore.output.prints,
                *rules.explore.output.tiles,
                *rules.explore.output.numbers,
            ]
            for file in of_all(pattern)
        ],
        manifests=of_all(rules.prepare.output.manifest),
        runs=of_all(rules.train.output.run),
        histories=of_all(rules.train.output.history),
        metrics=of_all(rules.evaluate.output.metrics),
    output:
        page=report(
            ensure(f"{RESULTS}/report/index.html", non_empty=True),
            caption="../report/page.rst",
            category="Report",
            labels={"Page": "All of the study"},
        ),
        text=ensure(f"{RESULTS}/report/report.md", non_empty=True),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        config=lambda wildcards: json_argument(study.written),
        deployments=lambda wildcards: deployments(),
        file=lambda wildcards: str(workflow.configfiles[-1]) if workflow.configfiles else "",
    message:
        "Write the report"
    shell:
        "python {input.code[0]:q} --config {params.config:q} --config-file {params.file:q}"
        " --results-dir $(dirname $(dirname {output.page:q})) > {log:q} 2>&1"
