"""Downloads and uploads files for the bootstrap, with the permissions of the instance's role.

It runs before anything is installed, on the image's python3 (3.6 or later), so it uses only the
standard library. It does not use the image's `aws`, whose version is unknown.

    courier.py fetch KEY FILE SHA256     download an object of $BUCKET
    courier.py put KEY FILE              upload a small file, replacing the object
    courier.py parameter NAME FILE       write an SSM parameter, decrypted, to a file

$REGION, $BUCKET and $BUCKET_OWNER name the bucket, $SPAWN_SSE and $SPAWN_SSE_KMS_KEY_ID the
encryption; AWS_ENDPOINT_URL and AWS_EC2_METADATA_SERVICE_ENDPOINT replace the endpoints of AWS.
Sources: "AWS Signature Version 4" of the IAM user guide, "IMDSv2" of the EC2 user guide.
"""

import datetime
import hashlib
import hmac
import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Callable, Dict, Tuple

PATIENCE = 150
"""Total seconds of backoff; the permissions of a new role take a minute or two to propagate."""
MAX_PAUSE = 15
TIMEOUT = 30
BLOCK = 1024 * 1024
IMDS = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL") or ""
REGION = os.environ.get("REGION", "")
BUCKET = os.environ.get("BUCKET", "")
OWNER = os.environ.get("BUCKET_OWNER", "")
SSE = os.environ.get("SPAWN_SSE", "")
SSE_KEY = os.environ.get("SPAWN_SSE_KMS_KEY_ID", "")
TEXT = "text/plain; charset=utf-8"
"""Explicit, because urllib defaults to a form."""
ROLES = "/latest/meta-data/iam/security-credentials/"
TRANSIENT = re.compile(
    "AccessDenied|Throttl|ExpiredToken|InvalidClientToken|UnrecognizedClient|RequestExpired"
)
"""Error codes to retry; SSM sends all of them with status 400."""


class CourierError(Exception):
    """A request failed; the message contains no secrets.

    `status` is the HTTP status and `home` the bucket's region, if known.
    """

    status = 0
    home = ""


class TransientError(CourierError):
    """A request failed and may succeed later, for example once a role has propagated."""


def metadata(path: str, method: str = "GET", **headers: str) -> str:
    """Query the instance's metadata service, without a proxy."""
    request = urllib.request.Request(IMDS.rstrip("/") + path, method=method)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        why = "the instance has no role" if error.code == 404 else f"code {error.code}"
        raise TransientError("the metadata service returned no credentials: " + why)
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"the metadata service does not respond: {error}")


def credentials() -> Tuple[str, str, str]:
    """Return the role's current credentials: access key, secret key, session token."""
    token = metadata("/latest/api/token", method="PUT", X_aws_ec2_metadata_token_ttl_seconds="300")
    role = metadata(ROLES, X_aws_ec2_metadata_token=token).split("\n")[0].strip()
    answer = metadata(ROLES + role, X_aws_ec2_metadata_token=token)
    try:
        found = json.loads(answer)
        code = found.get("Code", "Success")
        if code != "Success":
            raise TransientError("the metadata service returned no credentials: " + str(code))
        return found["AccessKeyId"], found["SecretAccessKey"], found["Token"]
    except (AttributeError, KeyError, ValueError):
        raise TransientError("the metadata service returned no credentials")


def sign(
    method: str, url: str, service: str, region: str, body: bytes, headers: Dict[str, str]
) -> urllib.request.Request:
    """Make a request with a version 4 signature."""
    key, secret, token = credentials()
    parts = urllib.parse.urlsplit(url)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    sent = {"host": parts.netloc, "x-amz-date": stamp, "x-amz-security-token": token}
    sent["x-amz-content-sha256"] = digest
    sent.update({name.lower(): value for name, value in headers.items()})
    names = ";".join(sorted(sent))
    lines = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
    canonical = "\n".join([method, parts.path or "/", parts.query, lines, names, digest])
    scope = "/".join([stamp[:8], region, service, "aws4_request"])
    text = "\n".join(
        ["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    signing = ("AWS4" + secret).encode()
    for part in [*scope.split("/"), text]:
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    request = urllib.request.Request(url, data=body or None, method=method)
    for name in sent:
        if name != "host":
            request.add_header(name, sent[name])
    request.add_header(
        "Authorization",
        f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, "
        f"Signature={signing.hex()}",
    )
    return request


def call(
    method: str, url: str, service: str, region: str, body: bytes = b"", **headers: str
) -> Any:
    """Send one request to AWS; return the open response.

    Raises TransientError for errors to retry, CourierError with AWS's error code for others.
    """
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = sign(method, url, service, region, body, headers)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        text = error.read(8192).decode("utf-8", "replace")
        code = re.search(r"<Code>(\w+)</Code>", text) or re.search(r'"__type":\s*"([\w.#]+)"', text)
        name = code.group(1) if code else f"status {error.code}"
        retry = error.code in (403, 429) or error.code >= 500 or TRANSIENT.search(name)
        raised = (TransientError if retry else CourierError)(f"{url} failed: {name}")
        raised.status = error.code
        raised.home = error.headers.get("x-amz-bucket-region", "")
        raise raised
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"{url} cannot be reached: {getattr(error, 'reason', error)}")


def domain(region: str) -> str:
    """Return the domain of AWS's endpoints in a region."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def s3(method: str, key: str, body: bytes = b"", **headers: str) -> Any:
    """Send a request for an object to S3; follows the bucket to its region."""
    if OWNER:
        headers["x_amz_expected_bucket_owner"] = OWNER
    region = REGION
    for _ in range(2):
        base = ENDPOINT.rstrip("/") or f"https://s3.{region}.{domain(region)}"
        url = f"{base}/{BUCKET}/{urllib.parse.quote(key, safe='/-_.~')}"
        try:
            return call(method, url, "s3", region, body, **headers)
        except CourierError as error:
            if error.home in ("", region):
                raise
            region = error.home
    raise CourierError(f"the region of the bucket {BUCKET} cannot be found")


def fetch(key: str, file: str, digest: str) -> None:
    """Download an object with this SHA-256, unless the file already has it."""
    if os.path.exists(file) and digest_of(file) == digest:
        return
    part = file + ".part"
    got = hashlib.sha256()
    size = 0
    try:
        with s3("GET", key) as answer, open(part, "wb") as out:
            while True:
                block = answer.read(BLOCK)
                if not block:
                    break
                got.update(block)
                out.write(block)
                size += len(block)
            promised = answer.headers.get("Content-Length")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise TransientError(f"the download of {key} was interrupted: {error}")
    if promised is not None and size < int(promised):
        raise TransientError(f"the download of {key} ended after {size} of {promised} bytes")
    if got.hexdigest() != digest:
        os.unlink(part)
        raise CourierError(f"{key} is not the launched file: its SHA-256 differs")
    os.rename(part, file)


def digest_of(file: str) -> str:
    """Return the SHA-256 of a file in hex."""
    got = hashlib.sha256()
    with open(file, "rb") as read:
        for block in iter(lambda: read.read(BLOCK), b""):
            got.update(block)
    return got.hexdigest()


def put(key: str, file: str) -> None:
    """Upload a file. Every write is conditional, because a bucket policy may require that."""
    with open(file, "rb") as read:
        body = read.read()
    headers = {"content_type": TEXT}
    if SSE:
        headers["x_amz_server_side_encryption"] = SSE
    if SSE and SSE_KEY:
        headers["x_amz_server_side_encryption_aws_kms_key_id"] = SSE_KEY
    try:
        s3("PUT", key, body, if_none_match="*", **headers).close()
    except CourierError as error:
        if error.status != 412:
            raise
        with s3("HEAD", key) as found:
            etag = found.headers["ETag"]
        s3("PUT", key, body, if_match=etag, **headers).close()


def parameter(name: str, file: str) -> None:
    """Write a parameter to a file that only its owner can read."""
    url = ENDPOINT or f"https://ssm.{REGION}.{domain(REGION)}"
    body = json.dumps({"Name": name, "WithDecryption": True}).encode()
    with call(
        "POST",
        url.rstrip("/") + "/",
        "ssm",
        REGION,
        body,
        content_type="application/x-amz-json-1.1",
        x_amz_target="AmazonSSM.GetParameter",
    ) as answer:
        value = json.loads(answer.read().decode())["Parameter"]["Value"]
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as out:
        out.write(value.encode())


def main() -> int:
    """Run the command; retry transient errors with backoff."""
    commands: Dict[str, Callable[..., None]] = {"fetch": fetch, "put": put, "parameter": parameter}
    run = commands[sys.argv[1]]
    left, pause = PATIENCE, 1
    while True:
        try:
            run(*sys.argv[2:])
            return 0
        except CourierError as error:
            if not isinstance(error, TransientError) or left <= 0:
                sys.stderr.write(f"{error}\n")
                return 1
        time.sleep(pause)
        left -= pause
        pause = min(2 * pause, MAX_PAUSE)


if __name__ == "__main__":
    sys.exit(main())
