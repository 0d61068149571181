# The only stage that looks at the test images. One job for all seeds of a variant: importing TensorFlow takes longer than
# evaluating a run, and Snakemake plans a study of five seeds with three fifths of the jobs. So another seed evaluates the
# variant's other runs again, with the same results.
rule evaluate:
    input:
        checked=verified("evaluate"),
        data=ancient(f"{PREPARE}/data.npz"),
        manifest=f"{PREPARE}/manifest.json",
        models=lambda wildcards: of_all_seeds(f"{TRAIN}/model.keras", wildcards),
        runs=lambda wildcards: of_all_seeds(f"{TRAIN}/run.json", wildcards),
    output:
        metrics=f"{EVALUATE}/metrics.json",
        predictions=f"{EVALUATE}/predictions.npz",
        features=f"{EVALUATE}/features.npz",
    log:
        f"{LOGS}/evaluate/{{dataset}}/{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{dataset}}/{{variant}}.tsv"
    conda:
        SOFTWARE
    threads: 1
    resources:
        mem_mb=memory(1200, 6),
        runtime=time_limit(lambda wildcards: len(study.seeds_of(wildcards.dataset, wildcards.variant))),
        gpu=GPU,
    params:
        code=script_digest("evaluate"),
        seeds=seeds_argument,
        environment=choices,
        made_from=made_from("evaluate"),
        data=folder(PREPARE),
        runs=folder(VARIANT),
        folder=folder(EVALUATE),
    message:
        "Evaluate {wildcards.variant} on {wildcards.dataset}"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/evaluate.py" --train-dir {params.runs:q} --seeds {params.seeds}'
        " --data-dir {params.data:q} --output-dir {params.folder:q} --threads {threads}"
        " > {log:q} 2>&1 && echo {params.made_from} > {params.folder:q}/.made_from"


# The same of what tuning chose: of the trials of each seed the one with the best validation accuracy, and no other sees
# the test images.
rule evaluate_tuned:
    input:
        checked=verified("evaluate_tuned"),
        data=ancient(f"{PREPARE}/data.npz"),
        manifest=f"{PREPARE}/manifest.json",
        models=lambda wildcards: of_all_trials(f"{TRAIN}/model.keras", wildcards),
        runs=lambda wildcards: of_all_trials(f"{TRAIN}/run.json", wildcards),
    output:
        metrics=f"{TUNED}/metrics.json",
        predictions=f"{TUNED}/predictions.npz",
        features=f"{TUNED}/features.npz",
    log:
        f"{LOGS}/evaluate/{{dataset}}/{{variant}}-tuned.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{dataset}}/{{variant}}-tuned.tsv"
    conda:
        SOFTWARE
    threads: 1
    resources:
        mem_mb=memory(1200, 6),
        runtime=time_limit(lambda wildcards: len(study.seeds_of(wildcards.dataset, wildcards.variant))),
        gpu=GPU,
    params:
        code=script_digest("evaluate"),
        seeds=seeds_argument,
        trials=trials_of_job,
        environment=choices,
        made_from=made_from("evaluate_tuned"),
        data=folder(PREPARE),
        runs=trial_folders,
        folder=folder(TUNED),
    message:
        "Evaluate tuned {wildcards.variant} on {wildcards.dataset}"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/evaluate.py" --trial-dirs {params.runs:q} --seeds {params.seeds}'
        " --data-dir {params.data:q} --output-dir {params.folder:q} --threads {threads}"
        " > {log:q} 2>&1 && echo {params.made_from} > {params.folder:q}/.made_from"
