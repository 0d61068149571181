# Fetch each dataset, check it, and write it as arrays. Later stages depend on the manifest, which is small enough for
# Snakemake to compare by content; the arrays come along as `ancient`, so that touching them reruns nothing.
rule prepare:
    input:
        code=local(code("prepare")),
    output:
        data=f"{RESULTS}/prepare/{{dataset}}/data.npz",
        manifest=ensure(f"{RESULTS}/prepare/{{dataset}}/manifest.json", non_empty=True),
    log:
        f"{LOGS}/prepare/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/prepare/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        spec=lambda wildcards: canonical_json(study.datasets[wildcards.dataset].model_dump()),
    message:
        "Prepare {wildcards.dataset}"
    shell:
        "python {input.code[0]:q} --dataset {wildcards.dataset:q} --spec {params.spec:q}"
        " --output-dir $(dirname {output.data:q}) > {log:q} 2>&1"
