# What the data look like, before any model.
EXPLORE_FIGURES = {
    "class_distribution": "Images per class",
    "samples": "Images of every class",
    "dimensions": "Image dimensions",
    "intensities": "Pixel intensities before and after normalisation",
    "mean_images": "Mean image of every class",
    "near_duplicates": "Test images nearest to a training image",
}


rule explore:
    input:
        code=local(code("explore")),
        messages=local(messages()),
        data=ancient(written(rules.prepare.output.data)),
        manifest=rules.prepare.output.manifest,
    output:
        tiles=expand(
            f"{RESULTS}/explore/{{{{dataset}}}}/{{figure}}.tiles.png",
            figure=["samples", "mean_images", "near_duplicates"],
        ),
        numbers=expand(
            f"{RESULTS}/explore/{{{{dataset}}}}/{{figure}}.csv",
            figure=["class_distribution", "dimensions", "intensities"],
        ),
        summary=ensure(f"{RESULTS}/explore/{{dataset}}/summary.json", non_empty=True),
        figures=[
            report(
                f"{RESULTS}/explore/{{dataset}}/{figure}.svg",
                caption="../report/data.rst",
                category="Data",
                subcategory="{dataset}",
                labels={"Figure": title},
            )
            for figure, title in EXPLORE_FIGURES.items()
        ],
        prints=expand(
            f"{RESULTS}/explore/{{{{dataset}}}}/{{figure}}.{{suffix}}", figure=EXPLORE_FIGURES, suffix=["png", "pdf"]
        ),
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
        language=study.report.language,
    message:
        "Explore {wildcards.dataset}"
    shell:
        "python {input.code[0]:q} --language {params.language} --data-dir $(dirname {input.manifest:q})"
        " --output-dir $(dirname {output.summary:q}) > {log:q} 2>&1"
