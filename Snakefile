# convlab: `snakemake --cores N` answers the question in config.yaml. What depends on what: workflow/rules/.
include: "workflow/Snakefile"


rule all:
    default_target: True
    input:
        rules.report.output.page,


rule export:
    input:
        of_all(rules.model_card.output.card, dataset=study.exported),


rule deploy:
    input:
        of_all(rules.deploy_model.output.answers, dataset=study.exported),
