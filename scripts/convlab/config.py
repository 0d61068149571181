"""Reading a config: from a YAML file or Snakemake's ``config`` to a checked study."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from convlab import i18n
from convlab.errors import UserError
from convlab.explain import explain
from convlab.study import KINDS, Study


def load_study(config: Mapping[str, Any], *, for_readers: bool = False) -> Study:
    """Check a config as Snakemake or YAML gives it, and expand it.

    Args:
        for_readers: say everything from now on in the report's language, the labels of the plan included.

    Raises:
        UserError: one sentence that names the key and what to do.
    """
    try:
        study = Study.model_validate(dict(config))
    except ValidationError as error:
        raise UserError(explain(error)) from None
    if for_readers:
        i18n.use(study.report.language)
    study.plan  # noqa: B018  (expanding is what finds impossible variants)
    return study


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key written twice, of which plain YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(self.construct_object(key_node, deep=True))
            if key in seen and key != "<<":
                raise UserError(
                    f"line {key_node.start_mark.line + 1} names {key!r} a second time; rename or remove one"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a config file, refusing duplicate keys; every failure is a UserError that names the file and line."""
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; name a config file with --configfile") from None
    except UserError as error:
        raise UserError(f"{path}, {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{place} is not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no settings; begin with a line such as 'study: my_study'")
    return value


def schema() -> dict[str, Any]:
    """JSON schema of the config, for editors; ``workflow/schemas/config.schema.json`` is kept equal to it."""
    written = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}
    datasets = written["properties"]["datasets"]["additionalProperties"]
    datasets.pop("discriminator")
    datasets["anyOf"] = datasets.pop("oneOf")
    for spec in set(KINDS.values()):  # a dataset's name is its kind unless one is written
        written["$defs"][spec.__name__]["required"].remove("kind")
    return written
