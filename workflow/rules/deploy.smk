# Deploy the exported model, test it with test images, record the evidence, tear it down. `snakemake deploy`.
# The evidence is declared as a log, since Snakemake deletes the outputs of a failed job, and the evidence of a failure is
# needed most; the table of predictions, written on success alone, is the output.
rule deploy_model:
    input:
        checked=verified("deploy_model"),
        model=rules.export_model.output,
        data=ancient(f"{PREPARE}/data.npz"),
        manifest=f"{PREPARE}/manifest.json",
        predictions=lambda wildcards: of_candidates(f"{EVALUATE}/predictions.npz", wildcards),
    output:
        answers=f"{DEPLOY}/answers.csv",
    log:
        text=f"{LOGS}/deploy/{{dataset}}.log",
        evidence=f"{DEPLOY}/endpoint.json",
    benchmark:
        f"{BENCHMARKS}/deploy/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/deploy.yaml" if study.deploy.target == "local" else "../../envs/sagemaker.yaml"
    # AWS' SDK and credentials are where Snakemake runs, and in no image.
    container:
        (IMAGE or None) if study.deploy.target == "local" else None
    params:
        code=script_digest("deploy"),
        also=deploy_code(),
        options=lambda wildcards: canonical_json(deploy_options()),
        identity=lambda wildcards: deploy_identity(),
        made_from=made_from("deploy_model"),
        results=folder(RESULTS),
        folder=folder(DEPLOY),
    message:
        "Deploy the model of {wildcards.dataset} and test its endpoint"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/deploy.py" --options {params.options:q}'
        " --identity {params.identity:q} --dataset {wildcards.dataset:q}"
        " --results-dir {params.results:q} > {log.text:q} 2>&1 && "
        "echo {params.made_from} > {params.folder:q}/.made_from"
