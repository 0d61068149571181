"""Costs of models that are known only once they are built: what the stage ``describe`` has counted.

Standard library only.
"""

from dataclasses import replace
from pathlib import Path

from convlab.common.files import read_json
from convlab.common.specs import canonical_json
from convlab.errors import UserError
from convlab.models.built_cost import cost_of
from convlab.study import layout
from convlab.study.schema import Study


def with_described_costs(study: Study, folder: Path, partial: bool = False) -> Study:
    """The study with the costs of all its models.

    Args:
        folder: the study's folder under results/.
        partial: leave out what is not described yet, or was described as another model.

    Raises:
        UserError: a description is of another model than the config's.
    """
    plan = study.plan
    costs = dict(plan.costs)
    for dataset in study.datasets:
        for name, described in plan.described.items():
            path = layout.described(folder, dataset) / f"{described}.json"
            if partial and not path.is_file():
                continue
            description = read_json(path)
            if canonical_json(description["built_by"]) != canonical_json(plan.variants[name].built_by):
                if partial:
                    continue
                raise UserError(
                    f"{path} describes another model than the config's {name}; delete it and run snakemake again"
                )
            costs[dataset, name] = cost_of(description)
    return study.with_plan(replace(plan, costs=costs))
