# Models whose layers are known only once they are built, such as a user's own Keras code: build each one, check it on real
# images, count what it costs, and keep the code that its runs are trained and loaded with. Before any training, so that
# an error in it costs no run. One for all variants that differ in training alone.
rule describe:
    input:
        checked=verified("describe"),
        data=ancient(f"{PREPARE}/data.npz"),
        manifest=f"{PREPARE}/manifest.json",
    output:
        description=f"{DESCRIBE}/{{variant}}.json",
    log:
        f"{LOGS}/describe/{{dataset}}/{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/describe/{{dataset}}/{{variant}}.tsv"
    priority: 10**12  # before any run
    localrule: True
    conda:
        SOFTWARE
    threads: 1
    params:
        code=code_of_description,
        built_by=lambda wildcards: canonical_json(study.plan.variants[wildcards.variant].built_by),
        file=model_file,
        made_from=made_from("describe"),
        data=folder(PREPARE),
        folder=folder(DESCRIBE),
    message:
        "Describe {wildcards.variant} on {wildcards.dataset}"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/describe.py" --built-by {params.built_by:q} --file {params.file:q}'
        " --data-dir {params.data:q} --output {output.description:q} --threads {threads} > {log:q} 2>&1 && "
        "echo {params.made_from} > {params.folder:q}/.{wildcards.variant}.made_from"
