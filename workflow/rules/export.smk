# The chosen model as files that others can run, and its card. Which variant it is shows only when all candidates are
# trained; so all of their runs are inputs, and the script finds the chosen one among them. Not part of `all`: it needs
# packages that nothing else does. `snakemake export` (in the Snakefile) makes both for every dataset.
EXPORT = f"{RESULTS}/export/{{dataset}}"


rule export_model:
    input:
        code=local(code("export")),
        requirements=local([os.path.relpath(SCRIPTS / "convlab/serving/requirements.txt")]),
        data=ancient(written(rules.prepare.output.data)),
        manifest=rules.prepare.output.manifest,
        runs=lambda wildcards: of_candidates(rules.train.output.run, wildcards),
        models=lambda wildcards: of_candidates(rules.train.output.model, wildcards),
    output:
        exported=ensure(f"{EXPORT}/export.json", non_empty=True),
        labels=f"{EXPORT}/labels.json",
        parity=f"{EXPORT}/parity.json",
        keras=f"{EXPORT}/model.keras",
        onnx=f"{EXPORT}/model.onnx",
        saved_model=directory(f"{EXPORT}/saved_model"),
        handlers=f"{EXPORT}/code/inference.py",
        requirements=f"{EXPORT}/code/requirements.txt",
        archive=f"{EXPORT}/model.tar.gz",
    log:
        f"{LOGS}/export/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/export/{{dataset}}.tsv"
    conda:
        "../../envs/deploy.yaml"
    threads: 1
    resources:
        mem_mb=memory(1200, 6),
    params:
        choice=lambda wildcards: canonical_json(study.choice(wildcards.dataset)),
    message:
        "Export the chosen model of {wildcards.dataset}"
    shell:
        "python {input.code[0]:q} --choice {params.choice:q} --dataset {wildcards.dataset:q}"
        " --results-dir $(dirname $(dirname $(dirname {output.exported:q}))) --threads {threads} > {log:q} 2>&1"


rule model_card:
    input:
        code=local(code("model_card")),
        template=local([os.path.relpath(ROOT / "report" / MODEL_CARD)]),
        exported=rules.export_model.output.exported,
        parity=rules.export_model.output.parity,
        manifest=rules.prepare.output.manifest,
        runs=lambda wildcards: of_candidates(rules.train.output.run, wildcards),
        metrics=lambda wildcards: of_candidates(rules.evaluate.output.metrics, wildcards),
        tables=rules.compare.output.tables,
    output:
        card=ensure(f"{EXPORT}/MODEL_CARD.md", non_empty=True),
    log:
        f"{LOGS}/model_card/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/model_card/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        config=canonical_json(study.written),
    message:
        "Write the model card of {wildcards.dataset}"
    shell:
        "python {input.code[0]:q} --config {params.config:q} --dataset {wildcards.dataset:q}"
        " --results-dir $(dirname $(dirname $(dirname {output.card:q}))) > {log:q} 2>&1"
