# Fetch or read each dataset, check it, and write it as arrays. Later stages depend on the manifest, which is small enough
# for Snakemake to compare by content; the arrays come along as `ancient`, so that touching them reruns nothing.
#
# Published datasets are checked by their checksums. A user's own images are known by a digest of their content, which is
# a parameter of the job. Reading 60,000 files' names and times takes half a second each time that jobs are planned; only
# new and changed files are read. Times alone would do without an index, but then copying or touching the folder would
# run everything, since Snakemake does not stop where a job that ran again has made the same.
rule prepare:
    input:
        checked=verified("prepare"),
    output:
        data=f"{PREPARE}/data.npz",
        manifest=f"{PREPARE}/manifest.json",
    log:
        f"{LOGS}/prepare/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/prepare/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: lambda wildcards: kind_of(study.datasets[wildcards.dataset]).threads
    params:
        code=lambda wildcards: CODE_OF_PREPARE[wildcards.dataset],
        content=lambda wildcards: images_digest(wildcards.dataset),
        spec=lambda wildcards: canonical_json(study.datasets[wildcards.dataset].model_dump(exclude=DATASET_TEXTS)),
        made_from=made_from("prepare"),
        folder=folder(PREPARE),
    message:
        "Prepare {wildcards.dataset}"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/prepare.py" --dataset {wildcards.dataset:q} --spec {params.spec:q}'
        " --output-dir {params.folder:q} --threads {threads} > {log:q} 2>&1 && "
        "echo {params.made_from} > {params.folder:q}/.made_from"
