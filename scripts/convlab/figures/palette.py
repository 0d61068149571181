"""Colour palette of figures and page. Imports nothing, so that the report can use it without Matplotlib."""

# Okabe and Ito's palette without its yellow and black (too faint or too heavy on white), and two more. A marker and a
# dash go with each colour, so that colour is never the only difference.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#6B6B6B")

ON_DARK = ("#4BA3DB", "#FF8A3D", "#2FC79B", "#E39CC3", "#F2B84B", "#7CC8F4", "#B983C6", "#A3A3A3")
"""The same for a dark page, each with a contrast ratio of at least 3 to the background."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2, 2, 2)), (0, (2, 1)), (0, (8, 2)), (0, (3, 3)))

INK, FAINT, GRID, PAPER, BAND = "#18202c", "#525d6e", "#dfe3e8", "#fefefe", "#8fa3b0"
"""Text and axes, secondary text, grid lines, background, and the region of practical equivalence. The page gives each
of these a value of its own in the dark, so no figure uses them for anything else."""

DIVERGING = ("#2166ac", "#f7f7f7", "#b2182b")
"""Diverging scale: below zero, zero, above zero (ColorBrewer's RdBu)."""
