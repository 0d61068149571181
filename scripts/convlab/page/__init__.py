"""View models of the report: tables, cards, inline figures, sprites, diagrams."""
