# One process for each run, one thread each: on a CPU two runs side by side are faster than one run on two threads.
rule train:
    input:
        code=local(code("train")),
        data=ancient(written(rules.prepare.output.data)),
        manifest=rules.prepare.output.manifest,
    output:
        model=ensure(f"{RESULTS}/train/{{dataset}}/{{variant}}/seed-{{seed}}/model.keras", non_empty=True),
        history=f"{RESULTS}/train/{{dataset}}/{{variant}}/seed-{{seed}}/history.csv",
        run=ensure(f"{RESULTS}/train/{{dataset}}/{{variant}}/seed-{{seed}}/run.json", non_empty=True),
    log:
        f"{LOGS}/train/{{dataset}}/{{variant}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{dataset}}/{{variant}}/seed-{{seed}}.tsv"
    priority: training_cost
    conda:
        "../../envs/tensorflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1200, 6),
        runtime=time_limit(training_passes),
        gpu=GPU,
    params:
        spec=run_spec,
        environment=environment_choices,
        store=STORE,
    message:
        "Train {wildcards.variant} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python {input.code[0]:q} --spec {params.spec:q} --data-dir $(dirname {input.manifest:q})"
        " --output-dir $(dirname {output.run:q}) --store {params.store:q} --threads {threads} > {log:q} 2>&1"
