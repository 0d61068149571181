# Dunnett's comparisons by multcomp (Hothorn, Bretz, Westfall 2008, Biometrical Journal 50, 346-363), unpaired and with
# seeds as blocks: Rscript multcomp.R TABLE.csv REFERENCE, CSV on standard output. multcomp.py runs it.
suppressPackageStartupMessages(library(multcomp))
arguments <- commandArgs(trailingOnly = TRUE)
runs <- read.csv(arguments[1], stringsAsFactors = TRUE)
runs$variant <- relevel(runs$variant, ref = arguments[2])
runs$seed <- factor(runs$seed)
set.seed(1)  # multcomp integrates by randomised quasi-Monte Carlo
precise <- list(maxpts = 1e5, abseps = 1e-5)
models <- list(unpaired = lm(test_accuracy ~ variant, runs), paired = lm(test_accuracy ~ variant + seed, runs))
cat("design,variant,difference,ci_low,ci_high,p_value\n")
for (design in names(models)) {
  contrasts <- glht(models[[design]], linfct = mcp(variant = "Dunnett"))
  p <- summary(contrasts, test = do.call(adjusted, c(list("single-step"), precise)))$test$pvalues
  limits <- confint(contrasts, calpha = do.call(adjusted_calpha, precise))$confint
  variants <- sub(paste0(" - ", arguments[2], "$"), "", rownames(limits))
  cat(sprintf("%s,%s,%.10g,%.10g,%.10g,%.10g\n", design, variants, limits[, 1], limits[, 2], limits[, 3], p), sep = "")
}
