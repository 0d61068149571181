# A study's jobs and files without convlab: what Snakemake itself takes to plan so many. For benchmarks/scaling.py, which
# sets `rates` (the levels of its experiment).
STUDY = "results/many"
VARIANTS = [f"cnn-learning_rate-{rate:g}" for rate in config["rates"]]
SEEDS = range(1, 6)
DATA = [f"{STUDY}/prepare/{{dataset}}/data.npz", f"{STUDY}/prepare/{{dataset}}/manifest.json"]
RUN = f"{STUDY}/train/{{dataset}}/{{variant}}/seed-{{seed}}"
VARIANT = f"{STUDY}/evaluate/{{dataset}}/{{variant}}"


def of_runs(file):
    return expand(f"{RUN}/{file}", dataset="digits", variant=VARIANTS, seed=SEEDS)


def of_variants(file):
    return expand(f"{VARIANT}/{file}", dataset="digits", variant=VARIANTS)


rule all:
    input:
        f"{STUDY}/report/index.html",


rule prepare:
    output:
        DATA,
    shell:
        "touch {output}"


rule train:
    input:
        DATA,
    output:
        [f"{RUN}/{file}" for file in ("model.keras", "history.csv", "run.json")],
    shell:
        "touch {output}"


rule evaluate:
    input:
        DATA,
        expand(f"{RUN}/{{file}}", seed=SEEDS, file=["model.keras", "run.json"], allow_missing=True),
    output:
        [f"{VARIANT}/{file}" for file in ("metrics.json", "predictions.npz", "features.npz")],
    shell:
        "touch {output}"


rule compare:
    input:
        [path for file in ("run.json", "history.csv") for path in of_runs(file)],
        [path for file in ("metrics.json", "predictions.npz", "features.npz") for path in of_variants(file)],
    output:
        f"{STUDY}/compare/summary.json",
    shell:
        "touch {output}"


rule report:
    input:
        f"{STUDY}/compare/summary.json",
        [path for file in ("run.json", "history.csv") for path in of_runs(file)],
        of_variants("metrics.json"),
    output:
        f"{STUDY}/report/index.html",
    shell:
        "touch {output}"
