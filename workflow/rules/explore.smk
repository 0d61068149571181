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
        data=ancient(written(rules.prepare.output.data)),
        manifest=rules.prepare.output.manifest,
    output:
        summary=ensure(f"{RESULTS}/explore/{{dataset}}/summary.json", non_empty=True),
        figures=expand(
            f"{RESULTS}/explore/{{{{dataset}}}}/{{figure}}.{{suffix}}", figure=EXPLORE_FIGURES, suffix=["svg", "png"]
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
    message:
        "Explore {wildcards.dataset}"
    shell:
        "python {input.code[0]:q} --data-dir $(dirname {input.manifest:q})"
        " --output-dir $(dirname {output.summary:q}) > {log:q} 2>&1"
