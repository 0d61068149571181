"""Batch transform (``mode: batch``): a job answers test images that lie in S3; there is no endpoint.

The images are JSON Lines, each with its index, of which the model gets the image alone; SageMaker joins each prediction
with the index of its line, so that no order has to be trusted.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from convlab.cloud import aws, governance
from convlab.cloud.endpoint import SageMakerEndpoint, now
from convlab.cloud.logs import excerpt
from convlab.cloud.teardown import RUNNING_STATUSES
from convlab.cloud.time_limits import TRANSFORM_DELETIONS
from convlab.errors import UserError
from convlab.serving import endpoint_test
from convlab.serving.record import ImagePrediction
from convlab.serving.request_forms import LINES, MAX_IMAGES

LOG_GROUP = "/aws/sagemaker/TransformJobs"

INDEX, IMAGE, PREDICTION = "index", "image", "SageMakerOutput"
"""Attributes of a line: the first two of the input, the first and the last of the output; AWS names the last."""

MAX_OUTPUT_BYTES = 64 * 2**20
"""Bytes that are read of one output object at most."""

MB = 2**20

log = logging.getLogger("deploy")


class BatchTransform(SageMakerEndpoint):
    """Context manager: uploads and creates the model on entry, runs the job in ``answers``, deletes everything on exit.

    A transform job has no maximum runtime on AWS: ``batch.max_minutes`` is kept by this process and ``cloud/guard``.
    """

    deletions = TRANSFORM_DELETIONS

    def _serve(self, model_uri: str) -> None:
        self._create_model(model_uri)

    def answers(self, images: np.ndarray, indices: Sequence[int], labels: np.ndarray) -> Iterator[ImagePrediction]:
        """Predictions of a transform job for the images, in the order of ``indices``.

        Raises UserError if the job failed or took too long, or an image has no prediction.
        """
        if not len(indices):  # of mode train, in which nobody asks
            return
        with aws.errors_as_user_errors():
            sizes, inputs = self._upload_images(images, indices)
            self._start_job()
            self._wait_for_job(len(indices))
            predictions = self._read(inputs)
        if missing := [int(index) for index in indices if int(index) not in predictions]:
            raise UserError(
                f"the transform job's output lacks {len(missing)} of {len(indices)} images; the first is {missing[0]}"
            )
        for index in indices:
            yield endpoint_test.image_prediction(
                predictions[int(index)], index, labels[index], payload_bytes=sizes[int(index)]
            )

    def _upload_images(self, images: np.ndarray, indices: Sequence[int]) -> tuple[dict[int, int], list[str]]:
        """Upload the images as objects of at most MAX_IMAGES lines, since a request never spans two objects.

        Returns the bytes of each line by its image's index, and the names of the objects.
        """
        limit = self.settings.batch.max_payload_mb
        lines = {
            int(index): json.dumps(
                {INDEX: int(index), IMAGE: images[index].tolist()}, separators=(",", ":")
            ).encode()
            for index in indices
        }  # fmt: skip
        sizes = {index: len(line) for index, line in lines.items()}
        if (largest := max(sizes.values())) > limit * MB:
            raise UserError(
                f"one test image takes {largest / MB:.1f} MB as JSON, and deploy.sagemaker.batch.max_payload_mb is "
                f"{limit}; raise it"
            )
        encoded, names = list(lines.values()), []
        with self.state.pending("object", self.state_file):
            for start in range(0, len(encoded), MAX_IMAGES):
                names.append(f"part-{len(names):05d}.jsonl")
                self._clients.s3.put_object(
                    Bucket=self.state.bucket,
                    Key=f"{self.state.prefix}input/{names[-1]}",
                    Body=b"\n".join(encoded[start : start + MAX_IMAGES]) + b"\n",
                    **governance.upload(self.settings),
                )
        return sizes, names

    def _start_job(self) -> None:
        """Create the transform job."""
        state, batch = self.state, self.settings.batch
        self._endpoint["transform"] = {
            "name": state.name,
            "instance_type": batch.instance_type,
            "strategy": batch.strategy,
            "max_payload_mb": batch.max_payload_mb,
        }
        self._check_time()
        with state.pending("transform_job", self.state_file):
            self._clients.sagemaker.create_transform_job(
                TransformJobName=state.name,
                ModelName=state.name,
                MaxConcurrentTransforms=1,
                MaxPayloadInMB=batch.max_payload_mb,
                BatchStrategy=batch.strategy,
                TransformInput={
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": f"s3://{state.bucket}/{state.prefix}input/",
                        }
                    },
                    "ContentType": LINES,
                    "SplitType": "Line",
                },
                TransformOutput={
                    "S3OutputPath": f"s3://{state.bucket}/{state.prefix}output",
                    "Accept": LINES,
                    "AssembleWith": "Line",
                    **governance.transform_output(self.settings),
                },
                TransformResources={
                    "InstanceType": batch.instance_type,
                    "InstanceCount": 1,
                    **governance.disk(self.settings, batch.instance_type),
                },
                DataProcessing={
                    "InputFilter": f"$.{IMAGE}",
                    "JoinSource": "Input",
                    "OutputFilter": f"$['{INDEX}','{PREDICTION}']",
                },
                Tags=self._tag_list(),
            )

    def _wait_for_job(self, images: int) -> None:
        """Poll until the job has ended. Raises UserError if it did not complete or took too long."""
        name, facts = self.state.name, self._endpoint["transform"]
        seen = facts.setdefault("transitions", [])
        for passed in aws.poll_intervals(self._ends - aws.clock()):
            if passed and aws.clock() > self._ends:  # the machine has slept meanwhile
                break
            description = aws.patiently(lambda: self._clients.sagemaker.describe_transform_job(TransformJobName=name))
            status = description["TransformJobStatus"]
            if not seen or seen[-1]["status"] != status:
                seen.append({"status": status, "at": now()})
                log.info("transform job %s: %s after %.0f s", name, status, passed)
            if status not in RUNNING_STATUSES:
                facts |= job_facts(description, images)
                break
        if status in RUNNING_STATUSES:
            raise UserError(
                f"the transform job did not end within {self.settings.batch.max_minutes} minutes; it was stopped"
            )
        if status != "Completed":
            reason = description.get("FailureReason") or "no reason given"
            raise UserError(f"the transform job {name} ended as {status}: {reason[:800]}")

    def _read(self, names: Sequence[str]) -> dict[int, Any]:
        """The predictions in the job's output, by index of the image, whatever they are."""
        predictions = {}
        for name in names:
            key = f"{self.state.prefix}output/{name}.out"
            content = aws.patiently(lambda key=key: self._output(key))
            if len(content) > MAX_OUTPUT_BYTES:
                raise UserError(
                    f"the transform job's output {name}.out has more than {MAX_OUTPUT_BYTES:,} bytes, which are no "
                    "predictions"
                )
            for number, line in enumerate(content.splitlines(), start=1):
                try:
                    joined = json.loads(line)
                    predictions[int(joined[INDEX])] = joined[PREDICTION]
                except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                    text = line[:200].decode("utf-8", "replace")
                    raise UserError(
                        f"line {number} of the transform job's {name}.out is no prediction: {text}"
                    ) from None
        return predictions

    def _output(self, key: str) -> bytes:
        """The beginning of an object in the bucket."""
        return self._clients.s3.get_object(Bucket=self.state.bucket, Key=key)["Body"].read(MAX_OUTPUT_BYTES + 1)

    def _log_groups(self) -> list[str]:
        return [LOG_GROUP]

    def _record_logs(self) -> None:
        super()._record_logs()
        if "transform" in self._endpoint:
            self._endpoint["log"] = excerpt(self._clients, LOG_GROUP, self.state.name)


def job_facts(description: Mapping[str, Any], images: int) -> dict[str, Any]:
    """Status and times of a transform job that has ended, for the evidence, from SageMaker's response.

    ``seconds``: from the start of its instance to its end, which AWS charges; images per second are of that time.
    """
    begin, end = description.get("TransformStartTime"), description.get("TransformEndTime")
    seconds = (end - begin).total_seconds() if begin and end else None
    return {
        "arn": description.get("TransformJobArn"),
        "status": description["TransformJobStatus"],
        "failure": description.get("FailureReason"),
        "created": _iso(description.get("CreationTime")),
        "started": _iso(begin),
        "ended": _iso(end),
        "seconds": seconds,
        "images": images,
        "images_per_second": images / seconds if seconds else None,
    }


def _iso(time: Any) -> str | None:
    return time.isoformat() if time else None
