"""What a look at the test images saw: runs, seeds, data and predictions, as the ledger of looks records it."""

from collections.abc import Mapping, Sequence
from typing import Any

from convlab.results.loading import RunRecords
from convlab.study.registration import Registration, sha256
from convlab.study.registration_files import Look, now
from convlab.study.schema import Study

DIGEST_CHARS = 16


def data_digest(manifest: Mapping[str, Any]) -> str:
    """Digest of a dataset's arrays, from its manifest."""
    return sha256({name: entry["sha256"] for name, entry in manifest["arrays"].items()})[:DIGEST_CHARS]


def look(
    study: Study,
    records: RunRecords,
    registrations: Sequence[Registration],
    data: Mapping[str, str],
    commit: Mapping[str, Any] | None,
) -> Look:
    """The look of an analysis of these runs; the ledger gives it its number.

    Args:
        registrations: the study's, by time; the last one is named by its hash.
        data: digest of the arrays of each dataset.
        commit: of convlab's checkout.
    """
    finished = [len(records.finished(dataset, name)) for dataset in study.datasets for name in study.plan.compared]
    low, high = min(finished), max(finished)
    predictions = [
        [dataset, records.runs[dataset, variant, seed]["spec_hash"], entry.get("predictions_sha256"), seed]
        for (dataset, variant, seed), entry in sorted(records.evaluations.items())
    ] + [
        [dataset, entry["spec_hash"], entry.get("predictions_sha256"), seed]
        for (dataset, _, seed), entry in sorted(records.tuned.items())
    ]
    return Look(
        look=0,
        time=now(),
        commit=commit["commit"] + ("+" if commit["modified"] else "") if commit else "",
        registration=registrations[-1].sha256 if registrations else "",
        runs=len(records.runs) + len(records.tuned),
        seeds=str(low) if low == high else f"{low}-{high}",
        data=" ".join(f"{dataset}={digest}" for dataset, digest in sorted(data.items())),
        results=sha256(predictions)[:DIGEST_CHARS],
    )
