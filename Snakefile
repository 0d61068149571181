# convlab: `snakemake --cores N` answers the question in config.yaml. What depends on what: workflow/rules/.
include: "workflow/Snakefile"


rule all:
    default_target: True
    input:
        rules.report.output.page,


rule export:
    input:
        of_exported(rules.model_card.output.card),


rule deploy:
    input:
        of_exported(rules.deploy_model.output.answers),
