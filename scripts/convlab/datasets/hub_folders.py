"""Folders of Hugging Face's ``datasets``: what ``save_to_disk`` writes, clones of a repository, folders of its cache.

- ``save_to_disk``: ``dataset_dict.json`` names the splits, each a folder with ``state.json`` (its files) and
  ``dataset_info.json`` (its columns).
- A repository: Parquet files, by ``configs`` in the front matter of README.md or else by their names.
- The cache: ``<name>-<split>.arrow`` beside ``dataset_info.json``.

https://huggingface.co/docs/datasets/repository_structure and
https://huggingface.co/docs/hub/datasets-manual-configuration describe them. Scripts in a repository are never run.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from convlab.datasets.files_by_split import every_file, refuse_devices, refuse_missing_shards, split_of
from convlab.datasets.folder_listing import is_image, printable_name
from convlab.errors import UserError

_SUFFIXES = (".parquet", ".arrow")


@dataclass(frozen=True)
class HubFolder:
    """Files of each split by the split's name, and the description of the columns where it stands beside them."""

    splits: Mapping[str, Sequence[Path]]
    features: Mapping[str, Any] = field(default_factory=dict)


def list_folder(path: Path, config: str | None, key: str) -> HubFolder:
    """The splits of a folder; ``config`` is the configuration's name, where a repository has several.

    Raises UserError, which names the dataset's ``key``, for a folder of another kind.
    """
    if not path.is_dir():
        raise UserError(
            f"{key}.path: {printable_name(str(path))} is no folder; give the folder of the dataset, or write kind: "
            "parquet for a single file"
        )
    try:
        if (path / "dataset_dict.json").is_file():
            names = _json(path / "dataset_dict.json", key).get("splits", [])
            if not isinstance(names, list):
                raise UserError(f"{key}.path: {path / 'dataset_dict.json'} lists no splits; save the dataset again")
            return _saved({str(name): path / str(name) for name in names}, key)
        if (path / "state.json").is_file():
            return _saved({"train": path}, key)
        return _repository(path, config, key)
    except OSError as error:
        name = printable_name(str(error.filename or path))
        raise UserError(f"{key}.path: {name} cannot be read ({error.strerror})") from None


def _json(file: Path, key: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{key}.path: there is no {printable_name(str(file))}; save the dataset again") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{key}.path: {printable_name(str(file))} is damaged; save the dataset again")
    return content


def _saved(folders: Mapping[str, Path], key: str) -> HubFolder:
    """Folders that ``save_to_disk`` wrote."""
    splits, features = {}, {}
    for split, folder in folders.items():
        state = _json(folder / "state.json", key)
        if state.get("_indices_data_files") or state.get("_indices_files"):
            raise UserError(
                f"{key}.path: {printable_name(str(folder))} is a selection of rows that was saved without them; call "
                "flatten_indices() on the dataset and save it again"
            )
        try:
            names = [Path(str(file["filename"])).name for file in state["_data_files"]]
        except (KeyError, TypeError):
            raise UserError(f"{key}.path: {folder / 'state.json'} names no files; save the dataset again") from None
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise UserError(f"{key}.path: there is no {folder / missing[0]}, which state.json names; copy it too")
        splits[split] = [folder / name for name in names]
        features = _features_beside(folder, key) or features
    return HubFolder({split: files for split, files in splits.items() if files}, features)


def _repository(path: Path, config: str | None, key: str) -> HubFolder:
    """A clone of a repository, or a folder of the cache."""
    every = [name for name, _ in every_file(path)]
    names = [name for name in every if name.lower().endswith(_SUFFIXES)]
    refuse_devices([path / name for name in names], f"{key}.path")
    if not names:
        hint = "; write kind: image_folder for images in folders" if any(map(is_image, every)) else ""
        raise UserError(
            f"{key}.path: {printable_name(str(path))} holds no Parquet or Arrow files{hint or '; correct it'}"
        )
    card = _front_matter(path / "README.md")
    configs = {str(entry.get("config_name", "default")): entry for entry in _dicts(card.get("configs"))}
    described = {str(entry.get("config_name", "default")): entry for entry in _dicts(card.get("dataset_info"))}
    folders = sorted({name.split("/")[0] for name in names if "/" in name and split_of(name.split("/")[0]) is None})
    choices = list(configs) or [folder for folder in folders if folder != "data"]
    if config is not None and config not in choices:
        there = f"only {', '.join(map(printable_name, choices))}" if choices else "none"
        raise UserError(f"{key}.config is {config!r}, but the dataset has {there}; correct it")
    if config is None and len(choices) > 1:
        default = [name for name, entry in configs.items() if entry.get("default") is True or name == "default"]
        if len(default) != 1:
            raise UserError(
                f"{key}.path holds the configurations {', '.join(map(printable_name, choices))}; write {key}.config: "
                "the one that is meant"
            )
        choices = default
    chosen = config or (choices[0] if choices else "default")
    features = _features(described.get(chosen, {}))
    features = features or _features_beside(path, key)
    splits = _by_pattern(path, names, configs[chosen]) if chosen in configs else {}
    if not splits:
        inside = [name for name in names if name.startswith(f"{chosen}/")] or names
        refuse_missing_shards(inside, f"{key}.path")
        told = any(map(split_of, inside))
        for name in inside:
            splits.setdefault(split_of(name) or (_stem(name) if told else "train"), []).append(path / name)
    return HubFolder(splits, features)


def _stem(name: str) -> str:
    """A file's name without its folder, number and suffix: the split of ``unsupervised-00000-of-00001.parquet``."""
    return re.sub(r"(-\d{5}-of-\d{5})?\.\w+$", "", name.rsplit("/", 1)[-1])


def _features_beside(folder: Path, key: str) -> dict[str, Any]:
    """The columns as ``dataset_info.json`` in a folder describes them; empty where there is none."""
    file = folder / "dataset_info.json"
    features = _json(file, key).get("features") if file.is_file() else {}
    if not isinstance(features, dict | None):
        raise UserError(f"{key}.path: {printable_name(str(file))} describes no columns; save the dataset again")
    return features or {}


def _by_pattern(path: Path, names: Sequence[str], config: Mapping[str, Any]) -> dict[str, list[Path]]:
    """Files of each split by the patterns of a configuration; empty where it has none."""
    splits: dict[str, list[Path]] = {}
    folder = str(config.get("data_dir", "")).strip("./")
    entries = config.get("data_files", [])
    entries = entries if isinstance(entries, list) else [entries]
    for entry in entries:
        entry = entry if isinstance(entry, dict) else {"split": "train", "path": entry}
        patterns = entry.get("path", [])
        for pattern in patterns if isinstance(patterns, list) else [patterns]:
            whole = f"{folder}/{pattern}" if folder else str(pattern)
            matching = [path / name for name in names if fnmatchcase(name, whole.replace("**/", "*"))]
            splits.setdefault(str(entry.get("split", "train")), []).extend(matching)
    if folder and not splits:
        for name in names:
            if name.startswith(f"{folder}/"):
                splits.setdefault(split_of(name) or "train", []).append(path / name)
    return {split: sorted(set(files)) for split, files in splits.items() if files}


def _front_matter(file: Path) -> dict[str, Any]:
    """The YAML between two lines of dashes at the start of a file; empty where there is none."""
    import yaml

    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in (line.strip() for line in lines[1:]):
        return {}
    end = [line.strip() for line in lines[1:]].index("---") + 1
    try:
        content = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _dicts(value: Any) -> list[dict]:
    """A mapping, or a list of them, as a list."""
    return [entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, dict)]


def _features(info: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as README.md describes them, in the form of ``dataset_info.json``."""
    features: dict[str, Any] = {}
    for column in _dicts(info.get("features")):
        kind = column.get("dtype")
        if kind == "image":
            features[str(column.get("name"))] = {"_type": "Image"}
        elif isinstance(kind, dict) and isinstance(kind.get("class_label"), dict):
            names = kind["class_label"].get("names")
            listed = _numbered(names) if isinstance(names, dict) else names
            if isinstance(listed, list):
                features[str(column.get("name"))] = {"_type": "ClassLabel", "names": list(map(str, listed))}
    return features


def _numbered(names: Mapping[Any, Any]) -> list | None:
    """Names by the labels that they are of, in the labels' order; None where these are not 0, 1, 2 and so on."""
    by_label = {str(label): name for label, name in names.items()}
    labels = [str(label) for label in range(len(by_label))]
    return [by_label[label] for label in labels] if set(by_label) == set(labels) else None
