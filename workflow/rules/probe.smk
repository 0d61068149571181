# Probes that need no training measure every run of a variant. Those that train are ordinary runs of their own variants.
rule probe:
    input:
        checked=verified("probe"),
        data=ancient(f"{PREPARE}/data.npz"),
        manifest=f"{PREPARE}/manifest.json",
        models=lambda wildcards: of_all_seeds(f"{TRAIN}/model.keras", wildcards),
        runs=lambda wildcards: of_all_seeds(f"{TRAIN}/run.json", wildcards),
    output:
        table=f"{TRANSLATIONS}/{{variant}}.csv",
    log:
        f"{LOGS}/probe/translation/{{dataset}}/{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/probe/translation/{{dataset}}/{{variant}}.tsv"
    priority: 10**9  # as soon as its models are there: left to the end it would run alone
    conda:
        "../../envs/tensorflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1200, 6),
        runtime=time_limit(translation_passes),
        gpu=GPU,
    params:
        shift=study.probes.translation.shift if study.probes.translation else 0,
        code=code("probe"),
        seeds=" ".join(map(str, study.seeds)),
        environment=environment_choices,
        made_from=made_from("probe"),
        data=folder(PREPARE),
        runs=folder(VARIANT),
        folder=folder(TRANSLATIONS),
    message:
        "Probe translation of {wildcards.variant} on {wildcards.dataset}"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/probe.py" --probe translation --dataset {wildcards.dataset:q} --variant {wildcards.variant:q}'
        " --shift {params.shift} --seeds {params.seeds} --train-dir {params.runs:q}"
        " --data-dir {params.data:q} --output {output.table:q} --threads {threads} > {log:q} 2>&1 && "
        "echo {params.made_from} > {params.folder:q}/.{wildcards.variant}.made_from"
