"""What tests build: projects, made-up numbers, results folders, models, damage.

Test files import from here, never from one another; what a test must not change is a fixture of conftest.
"""
