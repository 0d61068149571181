# The chosen model as files that others can run, and its card. Which variant it is shows only when all candidates are
# trained; so all of their runs are inputs, and the script finds the chosen one among them. Not part of `all`: it needs
# packages that nothing else does. `snakemake export` (in the Snakefile) makes both for every dataset.
rule export_model:
    input:
        checked=verified("export_model"),
        data=ancient(f"{PREPARE}/data.npz"),
        manifest=f"{PREPARE}/manifest.json",
        described=lambda wildcards: descriptions([wildcards.dataset], study.plan.candidates),
        runs=lambda wildcards: runs_of_candidates(f"{TRAIN}/run.json", wildcards),
        models=lambda wildcards: runs_of_candidates(f"{TRAIN}/model.keras", wildcards),
        predictions=lambda wildcards: of_candidates(f"{EVALUATE}/predictions.npz", wildcards),
    output:
        exported=f"{EXPORT}/export.json",
        labels=f"{EXPORT}/labels.json",
        parity=f"{EXPORT}/parity.json",
        keras=f"{EXPORT}/model.keras",
        onnx=f"{EXPORT}/model.onnx",
        formats=[directory(path) if path.endswith("saved_model") else path for path in EXPORTED_FORMATS],
        handlers=f"{EXPORT}/code/inference.py",
        forms=f"{EXPORT}/code/request_forms.py",
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
        code=script_digest("export", *families(*study.plan.candidates)),
        requirements=serving_requirements(),
        choice=lambda wildcards: canonical_json(study.choice(wildcards.dataset)),
        made_from=made_from("export_model"),
        results=folder(RESULTS),
        folder=folder(EXPORT),
    message:
        "Export the chosen model of {wildcards.dataset}"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/export.py" --choice {params.choice:q} --dataset {wildcards.dataset:q}'
        " --results-dir {params.results:q} --threads {threads} > {log:q} 2>&1 && "
        "echo {params.made_from} > {params.folder:q}/.made_from"


rule model_card:
    input:
        checked=verified("model_card"),
        exported=f"{EXPORT}/export.json",
        parity=f"{EXPORT}/parity.json",
        formats=EXPORTED_FORMATS,  # Snakemake runs a job for a new output only where something takes it
        manifest=f"{PREPARE}/manifest.json",
        described=lambda wildcards: descriptions([wildcards.dataset], study.plan.candidates),
        runs=lambda wildcards: runs_of_candidates(f"{TRAIN}/run.json", wildcards),
        metrics=lambda wildcards: of_candidates(f"{EVALUATE}/metrics.json", wildcards),
        tables=COMPARE_FILES,
    output:
        card=f"{EXPORT}/MODEL_CARD.md",
    log:
        f"{LOGS}/model_card/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/model_card/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        code=model_card_code(),
        template=card_template(),
        config=lambda wildcards: canonical_json(study.validated_config),
        made_from=made_from("model_card"),
        results=folder(RESULTS),
        folder=folder(EXPORT),
    message:
        "Write the model card of {wildcards.dataset}"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/model_card.py" --config {params.config:q} --dataset {wildcards.dataset:q}'
        " --results-dir {params.results:q} > {log:q} 2>&1 && "
        "echo {params.made_from} > {params.folder:q}/.card_made_from"
