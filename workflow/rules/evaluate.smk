# The only stage that looks at the test images.
rule evaluate:
    input:
        code=local(code("evaluate")),
        data=ancient(written(rules.prepare.output.data)),
        manifest=rules.prepare.output.manifest,
        model=rules.train.output.model,
        run=rules.train.output.run,
    output:
        metrics=ensure(f"{RESULTS}/evaluate/{{dataset}}/{{variant}}/seed-{{seed}}/metrics.json", non_empty=True),
        predictions=f"{RESULTS}/evaluate/{{dataset}}/{{variant}}/seed-{{seed}}/predictions.npz",
        features=f"{RESULTS}/evaluate/{{dataset}}/{{variant}}/seed-{{seed}}/features.npz",
    log:
        f"{LOGS}/evaluate/{{dataset}}/{{variant}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{dataset}}/{{variant}}/seed-{{seed}}.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: 1
    resources:
        mem_mb=memory(1200, 6),
        runtime=time_limit(lambda wildcards: 1),
        gpu=GPU,
    message:
        "Evaluate {wildcards.variant} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python {input.code[0]:q} --run-dir $(dirname {input.run:q}) --data-dir $(dirname {input.manifest:q})"
        " --output-dir $(dirname {output.metrics:q}) --threads {threads} > {log:q} 2>&1"
