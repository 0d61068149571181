# Exploratory data analysis, before any model.
EXPLORE_FIGURES = {
    "class_distribution": "Images per class",
    "samples": "Images of every class",
    "dimensions": "Image dimensions",
    "intensities": "Pixel intensities before and after normalisation",
    "mean_images": "Mean image of every class",
    "near_duplicates": "Test images nearest to a training image",
}
EXPLORE_TILES = [f"{EXPLORE}/{figure}.tiles.png" for figure in ("samples", "mean_images", "near_duplicates")]
EXPLORE_NUMBERS = [f"{EXPLORE}/{name}.csv" for name in [*EXPLORE_FIGURES, "closest_pairs"]]
EXPLORE_PRINTS = [f"{EXPLORE}/{figure}.{suffix}" for figure in EXPLORE_FIGURES for suffix in ("png", "pdf")]


rule explore:
    input:
        checked=verified("explore"),
        data=ancient(f"{PREPARE}/data.npz"),
        manifest=f"{PREPARE}/manifest.json",
    output:
        tiles=EXPLORE_TILES,
        numbers=EXPLORE_NUMBERS,
        summary=f"{EXPLORE}/summary.json",
        figures=[
            report(
                f"{EXPLORE}/{figure}.svg",
                caption="../report/data.rst",
                category="Data",
                subcategory="{dataset}",
                labels={"Figure": title},
            )
            for figure, title in EXPLORE_FIGURES.items()
        ],
        prints=EXPLORE_PRINTS,
    log:
        f"{LOGS}/explore/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/explore/{{dataset}}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=memory(1000, 12),
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=script_digest("explore"),
        messages=messages(),
        language=study.report.language,
        made_from=made_from("explore"),
        data=folder(PREPARE),
        folder=folder(EXPLORE),
    message:
        "Explore {wildcards.dataset}"
    shell:
        'CONVLAB_CODE={params.code} python "$CONVLAB_SCRIPTS/explore.py" --language {params.language} --data-dir {params.data:q}'
        " --output-dir {params.folder:q} > {log:q} 2>&1 && "
        "echo {params.made_from} > {params.folder:q}/.made_from"
