"""Grading rubrics, one module each: what a grader looks for, and what of it a program can check."""
