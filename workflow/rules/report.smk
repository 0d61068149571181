# One page from everything that was measured.
rule report:
    input:
        code=local(code("report")),
        templates=local(templates()),
        tables=rules.compare.output.tables,
        summary=rules.compare.output.summary,
        figures=rules.compare.output.figures,
        explore=of_all_datasets(rules.explore.output.summary),
    output:
        page=ensure(f"{RESULTS}/report/index.html", non_empty=True),
        text=ensure(f"{RESULTS}/report/report.md", non_empty=True),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        config=canonical_json(study.written),
    message:
        "Write the report"
    shell:
        "python {input.code[0]:q} --config {params.config:q} --results-dir $(dirname $(dirname {output.page:q}))"
        " > {log:q} 2>&1"
