# Probes that need no training measure every run of a variant. Those that train are ordinary runs of their own variants.
rule probe:
    input:
        checked=verified("probe"),
        data=ancient(f"{PREPARE}/data.npz"),
        manifest=f"{PREPARE}/manifest.json",
        models=lambda wildcards: of_all_seeds(f"{TRAIN}/model.keras", wildcards),
        runs=lambda wildcards: of_all_seeds(f"{TRAIN}/run.json", wildcards),
    output:
        table=f"{PROBE}/{{variant}}.csv",
    log:
        f"{LOGS}/probe/{{probe}}/{{dataset}}/{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/probe/{{probe}}/{{dataset}}/{{variant}}.tsv"
    wildcard_constraints:
        probe=alternation(measuring_probes(looks_inside=False)),
    priority: 10**9  # as soon as its models are there: left to the end it would run alone
    conda:
        SOFTWARE
    threads: 1
    resources:
        mem_mb=memory(1200, 6),
        runtime=time_limit(probe_passes),
        gpu=GPU,
    params:
        settings=lambda wildcards: json_argument(probe_settings(wildcards)),
        code=probe_code,
        seeds=seeds_argument,
        environment=choices,
        made_from=made_from("probe"),
        data=folder(PREPARE),
        runs=folder(VARIANT),
        folder=folder(PROBE),
        arrays=[],
    message:
        "Probe {wildcards.probe} of {wildcards.variant} on {wildcards.dataset}"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/probe.py" --probe {wildcards.probe:q} --dataset {wildcards.dataset:q} --variant {wildcards.variant:q}'
        " --settings {params.settings:q} --seeds {params.seeds} --train-dir {params.runs:q}"
        " --data-dir {params.data:q} --output {output.table:q} {params.arrays:q} --threads {threads} > {log:q} 2>&1 && "
        "echo {params.made_from} > {params.folder:q}/.{wildcards.variant}.made_from"


# Those that look inside of the networks also keep arrays: what their figures and tables are made of.
use rule probe as probe_inside with:
    input:
        checked=verified("probe_inside"),
        data=ancient(f"{PREPARE}/data.npz"),
        manifest=f"{PREPARE}/manifest.json",
        models=lambda wildcards: of_all_seeds(f"{TRAIN}/model.keras", wildcards),
        runs=lambda wildcards: of_all_seeds(f"{TRAIN}/run.json", wildcards),
    output:
        table=f"{PROBE}/{{variant}}.csv",
        arrays=f"{PROBE}/{{variant}}.npz",
    wildcard_constraints:
        probe=alternation(measuring_probes(looks_inside=True)),
    params:
        settings=lambda wildcards: json_argument(probe_settings(wildcards)),
        code=probe_code,
        seeds=seeds_argument,
        environment=choices,
        made_from=made_from("probe_inside"),
        data=folder(PREPARE),
        runs=folder(VARIANT),
        folder=folder(PROBE),
        arrays=lambda wildcards, output: ["--arrays", str(output.arrays)],
