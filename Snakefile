# convlab: `snakemake --cores N` answers the question in config.yaml. What depends on what: workflow/rules/.
include: "workflow/Snakefile"


# A default target of an included file is lost (Snakemake 9.27).
rule default:
    default_target: True
    input:
        f"{REPORT}/index.html",
