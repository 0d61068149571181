"""Tables of a study: runs, variants, comparisons, probes, and which variant is exported."""
