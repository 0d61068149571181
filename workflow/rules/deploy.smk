# Serve the exported model, ask it about test images, record what it said, and leave nothing behind. `snakemake deploy`.
# The evidence is declared as a log, since Snakemake deletes the outputs of a job that failed, and a failure is what one
# most wants to read about; the answers, written on success alone, are the output.
#
# Snakemake logs and records command lines, so the script is given the options by an environment variable of this
# process, and on the command line without account numbers; their fingerprint makes another account another parameter.
from convlab.accounts import fingerprint, masked

DEPLOY_ACCOUNTS = [study.deploy.sagemaker.account] if study.deploy.sagemaker else []

if study.deploy.target == "sagemaker":
    os.environ["CONVLAB_DEPLOY"] = canonical_json(study.deploy.options)


rule deploy_model:
    input:
        code=local(code("deploy")),
        train=local(code("train_on_sagemaker") + code("train") if study.deploy.target == "sagemaker" else []),
        server=local(code("serve")),
        model=rules.export_model.output,
        data=ancient(written(rules.prepare.output.data)),
        manifest=rules.prepare.output.manifest,
        predictions=lambda wildcards: of_candidates(rules.evaluate.output.predictions, wildcards),
    output:
        answers=ensure(f"{RESULTS}/deploy/{{dataset}}/answers.csv", non_empty=True),
    log:
        text=f"{LOGS}/deploy/{{dataset}}.log",
        evidence=f"{RESULTS}/deploy/{{dataset}}/endpoint.json",
    benchmark:
        f"{BENCHMARKS}/deploy/{{dataset}}.tsv"
    localrule: True
    conda:
        "../../envs/deploy.yaml" if study.deploy.target == "local" else "../../envs/sagemaker.yaml"
    params:
        options=canonical_json(masked(study.deploy.options, DEPLOY_ACCOUNTS)),
        identity=lambda wildcards: fingerprint(canonical_json(study.deploy.options), study.study),
    message:
        "Deploy the model of {wildcards.dataset} and test its endpoint"
    shell:
        "python {input.code[0]:q} --options {params.options:q} --identity {params.identity:q} --dataset {wildcards.dataset:q}"
        " --results-dir $(dirname $(dirname $(dirname {output.answers:q}))) > {log.text:q} 2>&1"
