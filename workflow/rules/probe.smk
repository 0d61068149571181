# Probes that need no training measure every run of a variant. Those that train are ordinary runs of their own variants.
rule probe:
    input:
        code=local(code("probe")),
        data=ancient(written(rules.prepare.output.data)),
        manifest=rules.prepare.output.manifest,
        models=lambda wildcards: of_all_seeds(rules.train.output.model, wildcards),
        runs=lambda wildcards: of_all_seeds(rules.train.output.run, wildcards),
    output:
        table=ensure(f"{RESULTS}/probe/translation/{{dataset}}/{{variant}}.csv", non_empty=True),
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
        seeds=" ".join(map(str, study.seeds)),
        environment=environment_choices,
    message:
        "Probe translation of {wildcards.variant} on {wildcards.dataset}"
    shell:
        "python {input.code[0]:q} --probe translation --dataset {wildcards.dataset:q} --variant {wildcards.variant:q}"
        " --shift {params.shift} --seeds {params.seeds} --train-dir $(dirname $(dirname {input.runs[0]:q}))"
        " --data-dir $(dirname {input.manifest:q}) --output {output.table:q} --threads {threads} > {log:q} 2>&1"
