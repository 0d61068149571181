# One process for each run, one thread each: on a CPU two runs side by side are faster than one run on two threads.
rule train:
    input:
        data=ancient(f"{PREPARE}/data.npz"),
        manifest=manifest_of_run,
        # The user's own code, if the model is made by it: the spec has its checksums, so its time does not count.
        described=described_run if study.plan.described else [],
    output:
        model=f"{TRAIN}/model.keras",
        history=f"{TRAIN}/history.csv",
        run=f"{TRAIN}/run.json",
    log:
        f"{TRAIN.replace(RESULTS, LOGS, 1)}.log",
    benchmark:
        f"{TRAIN.replace(RESULTS, BENCHMARKS, 1)}.tsv"
    wildcard_constraints:
        variant=alternation(study.plan.trained),
    priority: training_cost
    conda:
        SOFTWARE
    threads: 1
    resources:
        mem_mb=memory(1200, 6),
        runtime=time_limit(training_passes),
        gpu=GPU,
    params:
        code=code_of_run,
        spec=run_spec,
        environment=choices,
        store=STORE,
        data=folder(PREPARE),
        folder=folder(TRAIN),
    message:
        "Train {wildcards.variant} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/train.py" --spec {params.spec:q} --data-dir {params.data:q}'
        " --described {input.described:q} --output-dir {params.folder:q} --store {params.store:q} --threads {threads} > {log:q} 2>&1"
