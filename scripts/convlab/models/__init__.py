"""Model families: specs, shapes, parameters and cost."""
