"""Findings of all enabled probes: by probe, and by the assumption of convolution that each tests."""

from collections.abc import Mapping, Sequence

import pandas as pd

from convlab.findings.study_results import Finding
from convlab.probes import registry


def all_findings(
    curves: pd.DataFrame, contrasts: pd.DataFrame, labels: Mapping[str, str], dataset: str, rope: float
) -> dict[str, list[Finding]]:
    """Findings by probe, for the probes that measured something on a dataset.

    Args:
        curves, contrasts: rows of ``curves.CURVE_COLUMNS`` and ``curves.CONTRAST_COLUMNS`` of the study.
        labels: variant -> its label.
        rope: differences within ± this fraction count as none in practice.
    """
    findings = {}
    for name in registry.names():
        own_curves = curves[(curves["probe"] == name) & (curves["dataset"] == dataset)]
        own_contrasts = contrasts[(contrasts["probe"] == name) & (contrasts["dataset"] == dataset)]
        if len(own_curves):
            findings[name] = registry.part(name, "findings").findings(own_curves, own_contrasts, labels, rope)
    return findings


def by_assumption(findings: Mapping[str, Sequence[Finding]]) -> dict[str, list[Finding]]:
    """The findings that test an assumption, for ``findings.collect.interpret``; in the order of the probes."""
    tested: dict[str, list[Finding]] = {}
    for name, measured in findings.items():
        assumption = getattr(registry.part(name, "findings"), "ASSUMPTION", None)
        if assumption:
            tested.setdefault(assumption, []).extend(measured)
    return tested
