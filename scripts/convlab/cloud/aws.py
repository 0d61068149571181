"""AWS clients, error messages, polling."""

import importlib.util
import ipaddress
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import urlparse

from convlab.common.redaction import masked
from convlab.errors import UserError

try:
    import boto3
    from boto3.exceptions import Boto3Error
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
except ImportError:
    raise UserError(
        "deploy.target: sagemaker needs boto3 and SageMaker's SDK (690 MB); `make deploy` installs them, or run: "
        "pip install --require-hashes -r requirements/sagemaker.txt"
    ) from None

FAILURES = (ClientError, BotoCoreError, Boto3Error, ResponseParserError)
"""Exceptions of AWS calls: errors of the service, broken connections, malformed responses (of proxies)."""

ATTEMPTS = 5
"""Attempts of one request, with botocore's exponential backoff."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds between two polls, growing from the first to the longest."""

READ_SECONDS = 30
"""Read timeout; management requests are quick, and the teardown repeats them."""

LOG_SECONDS = 5
"""Read timeout of logs and metrics, which only inform; a request of them is not repeated."""

AWS_DOMAINS = ("amazonaws.com", "amazonaws.com.cn", "api.aws")

DENIED = (
    *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "AllAccessDisabled"),
    *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"),
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"),
)
"""Error codes for which a retry is useless."""

MISSING = ("could not find", "not found", "does not exist")
"""What SageMaker's messages say of a resource that does not exist, in lower case."""

HINTS = {
    "AccessDenied": "`make deploy-plan` prints the policy that allows it",
    "AccessDeniedException": "`make deploy-plan` prints the policy that allows it",
    "ExpiredToken": "sign in again",
    "ExpiredTokenException": "sign in again",
    "InvalidClientTokenId": "check the credentials",
    "UnrecognizedClientException": "check the credentials",
    "NoSuchBucket": "name a bucket that exists in deploy.sagemaker.bucket",
    "ResourceLimitExceeded": "ask AWS for a higher quota, or choose another size in deploy.sagemaker",
}
"""What to do about an error, by its code."""


@dataclass(frozen=True)
class Clients:
    """One client for each service that is used. ``endpoint_url`` is None on AWS itself."""

    sagemaker: Any
    runtime: Any
    s3: Any
    logs: Any
    cloudwatch: Any
    sts: Any
    scheduler: Any
    session: Any
    region: str
    endpoint_url: str | None

    @property
    def where(self) -> str:
        """``AWS``, or the test double in use."""
        if self.endpoint_url is None:
            return "AWS"
        return f"a double of AWS {'on loopback' if on_loopback(self.endpoint_url) else 'elsewhere'}, not AWS"


def connect(region: str | None, endpoint_url: str | None = None) -> Clients:
    """Clients for ``region``, or for the one of the environment or the profile where it is None.

    Sends no request. Raises UserError if no region or no credentials are known.
    """
    try:
        session = boto3.Session(region_name=region)
        if not session.region_name:
            raise UserError("no AWS region is known; set deploy.sagemaker.region, or AWS_DEFAULT_REGION")
        if session.get_credentials() is None:
            raise UserError(
                "no AWS credentials were found; sign in (aws configure, aws sso login), or set AWS_PROFILE, or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        session.events.register("after-call", refuse_incomplete)  # also for clients that the SDK makes of it
        again = {"total_max_attempts": ATTEMPTS, "mode": "standard"}
        patient = Config(retries=again, connect_timeout=10, read_timeout=READ_SECONDS)
        upload = Config(retries=again, connect_timeout=10)
        brief = Config(retries={"total_max_attempts": 1}, connect_timeout=LOG_SECONDS, read_timeout=LOG_SECONDS)
        # One call is one request: retries of the client would hide in the latency.
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=70, tcp_keepalive=True)
        made = {
            name: session.client(service, config=config, endpoint_url=endpoint_url)
            for name, service, config in (
                ("sagemaker", "sagemaker", patient),
                ("runtime", "sagemaker-runtime", once),
                ("s3", "s3", upload),
                ("logs", "logs", brief),
                ("cloudwatch", "cloudwatch", brief),
                ("sts", "sts", patient),
                ("scheduler", "scheduler", patient),
            )
        }
    except (BotoCoreError, ValueError) as error:
        raise UserError(f"cannot use AWS: {error_message(error)}") from None
    used = made["sagemaker"].meta.endpoint_url
    return Clients(**made, session=session, region=session.region_name, endpoint_url=None if on_aws(used) else used)


def refuse_incomplete(http_response: Any, parsed: Mapping[str, Any], model: Any, **unused: Any) -> None:
    """Raise ResponseParserError for a success that has nothing of what the service always sends, as a proxy's page.

    A handler of boto3's event ``after-call``; ``model`` is the service's description of the operation. That one field
    alone is lacking is no reason to refuse what may never be read.
    """
    if http_response.status_code >= 300 or model.output_shape is None:
        return
    promised = model.output_shape.required_members
    if promised and not any(name in parsed for name in promised):
        raise ResponseParserError(
            f"{model.name}: the answer has no {promised[0]}; is there a proxy, or a network's sign-in page, in between?"
        )


def account_of(clients: Clients) -> str:
    """Account number of the credentials. Raises UserError if AWS does not accept them."""
    try:
        return clients.sts.get_caller_identity()["Account"]
    except FAILURES as error:
        raise UserError(f"AWS does not take the credentials: {error_message(error)}") from None
    except KeyError:
        raise UserError("what answers is not AWS; is there a proxy, or a network's sign-in page, in between?") from None


def on_aws(url: str) -> bool:
    host = urlparse(url).hostname or ""
    return any(host == domain or host.endswith(f".{domain}") for domain in AWS_DOMAINS)


def on_loopback(url: str) -> bool:
    host = urlparse(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def error_code(error: Exception) -> str:
    """The code of AWS' error; the exception's name for errors on the way to it."""
    if not isinstance(error, ClientError):
        return type(error).__name__
    return str(_error_of(error).get("Code", "Unknown"))


def _error_of(error: ClientError) -> dict[str, Any]:
    """The ``Error`` part of AWS' response; empty if it has none."""
    return error.response.get("Error") or {}


def is_missing(error: Exception) -> bool:
    """Whether the error means that the resource does not exist."""
    if not isinstance(error, ClientError):
        return False
    message = str(_error_of(error).get("Message", "")).lower()
    return error_code(error) in ("ResourceNotFound", "ResourceNotFoundException", "NoSuchBucket") or (
        error_code(error) == "ValidationException" and any(words in message for words in MISSING)
    )


def error_message(error: Exception) -> str:
    """AWS' error in one line, without account numbers, with a hint if there is one."""
    if isinstance(error, BotoCoreError | Boto3Error | ResponseParserError | UserError):
        return masked(" ".join(str(error).split()))[:500]
    if not isinstance(error, ClientError):  # whose text alone may say nothing: KeyError('Endpoints')
        return masked(" ".join(f"{type(error).__name__}: {error}".split()))[:500]
    message = " ".join(str(_error_of(error).get("Message", "")).split())[:500]
    hint = HINTS.get(error_code(error))
    return masked(f"{error.operation_name}: {error_code(error)}: {message}" + (f"; {hint}" if hint else ""))


def clock() -> float:
    """Seconds on a monotonic clock that includes suspend, as costs do; ``time.monotonic`` stops on Linux."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def poll_intervals(seconds: float) -> Iterator[float]:
    """Poll with growing pauses until ``seconds`` are over; yields the seconds that have passed."""
    begin, pause = time.monotonic(), FIRST_PAUSE
    yield 0.0
    while (passed := time.monotonic() - begin) < seconds:
        time.sleep(min(pause, max(seconds - passed, 0.001)))
        pause = min(pause * 1.5, LONGEST_PAUSE)
        yield time.monotonic() - begin


@contextmanager
def errors_as_user_errors() -> Iterator[None]:
    """Convert AWS' errors to UserErrors."""
    try:
        yield
    except FAILURES as error:
        raise UserError(error_message(error)) from None


def versions() -> dict[str, str]:
    """Versions of AWS' packages that are installed."""
    return {name: version(name) for name in ("boto3", "botocore", "sagemaker") if importlib.util.find_spec(name)}
