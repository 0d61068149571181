# The only stage that looks at the test images. One job for all seeds of a variant: importing TensorFlow takes longer than
# evaluating a run, and Snakemake plans a study of five seeds with three fifths of the jobs. So another seed evaluates the
# variant's other runs again, which gives what it gave before.
rule evaluate:
    input:
        code=local(code("evaluate")),
        data=ancient(written(rules.prepare.output.data)),
        manifest=rules.prepare.output.manifest,
        models=lambda wildcards: of_all_seeds(rules.train.output.model, wildcards),
        runs=lambda wildcards: of_all_seeds(rules.train.output.run, wildcards),
    output:
        metrics=ensure(f"{RESULTS}/evaluate/{{dataset}}/{{variant}}/metrics.json", non_empty=True),
        predictions=f"{RESULTS}/evaluate/{{dataset}}/{{variant}}/predictions.npz",
        features=f"{RESULTS}/evaluate/{{dataset}}/{{variant}}/features.npz",
    log:
        f"{LOGS}/evaluate/{{dataset}}/{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{dataset}}/{{variant}}.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1200, 6),
        runtime=time_limit(lambda wildcards: len(study.seeds)),
        gpu=GPU,
    params:
        seeds=" ".join(map(str, study.seeds)),
        environment=environment_choices,
    message:
        "Evaluate {wildcards.variant} on {wildcards.dataset}"
    shell:
        "python {input.code[0]:q} --train-dir $(dirname $(dirname {input.runs[0]:q})) --seeds {params.seeds}"
        " --data-dir $(dirname {input.manifest:q}) --output-dir $(dirname {output.metrics:q}) --threads {threads}"
        " > {log:q} 2>&1"
