# convlab: `snakemake --cores N` answers the question in config.yaml. What depends on what: workflow/rules/.
include: "workflow/Snakefile"


rule all:
    default_target: True
    input:
        rules.report.output.page,
