"""Fetches and brings what a bootstrap needs, with the rights of the instance's role.

It runs before anything is installed, on whatever python3 an image has (3.6 or later): the standard
library, and no `aws`, whose version is not ours.

    courier.py fetch KEY FILE SHA256     an object of $BUCKET
    courier.py put KEY FILE              a small file, over what is there
    courier.py parameter NAME FILE       a parameter of SSM, decrypted

$REGION, $BUCKET and $BUCKET_OWNER say where, $SPAWN_SSE and $SPAWN_SSE_KMS_KEY_ID how it is to be
encrypted; AWS_ENDPOINT_URL and AWS_EC2_METADATA_SERVICE_ENDPOINT name other servers than AWS's.
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
"""Seconds of pauses: IAM may take a minute or two until a role's rights are known everywhere."""
LONGEST = 15
SECONDS = 30
BLOCK = 1024 * 1024
IMDS = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL") or ""
REGION = os.environ.get("REGION", "")
BUCKET = os.environ.get("BUCKET", "")
OWNER = os.environ.get("BUCKET_OWNER", "")
SSE = os.environ.get("SPAWN_SSE", "")
SSE_KEY = os.environ.get("SPAWN_SSE_KMS_KEY_ID", "")
TEXT = "text/plain; charset=utf-8"
"""Named, for urllib would call it a form."""
ROLES = "/latest/meta-data/iam/security-credentials/"
PASSES = re.compile(
    "AccessDenied|Throttl|ExpiredToken|InvalidClientToken|UnrecognizedClient|RequestExpired"
)
"""What refusals are called that may pass: SSM says them all with status 400."""


class Failed(Exception):
    """Not to be had; the text says why, and has no secret in it.

    `status` is the answer's, and `home` the bucket's region, where they are known.
    """

    status = 0
    home = ""


class Again(Failed):
    """Not to be had now: a role's rights, for one, take a while to be known everywhere."""


def metadata(path: str, method: str = "GET", **headers: str) -> str:
    """Ask the instance's metadata service, never through a proxy."""
    request = urllib.request.Request(IMDS.rstrip("/") + path, method=method)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        why = "the instance has no role" if error.code == 404 else f"code {error.code}"
        raise Again("the metadata service gives no credentials: " + why)
    except (OSError, http.client.HTTPException) as error:
        raise Again(f"the metadata service does not answer: {error}")


def credentials() -> Tuple[str, str, str]:
    """The role's credentials as they are now: access key, secret, session token."""
    token = metadata("/latest/api/token", method="PUT", X_aws_ec2_metadata_token_ttl_seconds="300")
    role = metadata(ROLES, X_aws_ec2_metadata_token=token).split("\n")[0].strip()
    said = metadata(ROLES + role, X_aws_ec2_metadata_token=token)
    try:
        found = json.loads(said)
        if found.get("Code", "Success") != "Success":
            raise Again("the metadata service gives no credentials: " + str(found.get("Code")))
        return found["AccessKeyId"], found["SecretAccessKey"], found["Token"]
    except (AttributeError, KeyError, ValueError):
        raise Again("the metadata service gives no credentials yet")


def signed(
    method: str, url: str, service: str, region: str, body: bytes, headers: Dict[str, str]
) -> urllib.request.Request:
    """Make a request with a version 4 signature."""
    key, secret, token = credentials()
    parts = urllib.parse.urlsplit(url)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    told = {"host": parts.netloc, "x-amz-date": stamp, "x-amz-security-token": token}
    told["x-amz-content-sha256"] = digest
    told.update({name.lower(): value for name, value in headers.items()})
    names = ";".join(sorted(told))
    lines = "".join(f"{name}:{told[name]}\n" for name in sorted(told))
    canonical = "\n".join([method, parts.path or "/", parts.query, lines, names, digest])
    scope = "/".join([stamp[:8], region, service, "aws4_request"])
    text = "\n".join(
        ["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    signing = ("AWS4" + secret).encode()
    for part in [*scope.split("/"), text]:
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    request = urllib.request.Request(url, data=body or None, method=method)
    for name in told:
        if name != "host":
            request.add_header(name, told[name])
    request.add_header(
        "Authorization",
        f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, "
        f"Signature={signing.hex()}",
    )
    return request


def ask(method: str, url: str, service: str, region: str, body: bytes = b"", **headers: str) -> Any:
    """Ask AWS once; returns an open answer.

    Raises Again for what may pass, and Failed with the answer's own code for the rest.
    """
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = signed(method, url, service, region, body, headers)
    try:
        return urllib.request.urlopen(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        text = error.read(8192).decode("utf-8", "replace")
        code = re.search(r"<Code>(\w+)</Code>", text) or re.search(r'"__type":\s*"([\w.#]+)"', text)
        name = code.group(1) if code else f"status {error.code}"
        passes = error.code in (403, 429) or error.code >= 500 or PASSES.search(name)
        raised = (Again if passes else Failed)(f"{url} refuses us: {name}")
        raised.status = error.code
        raised.home = error.headers.get("x-amz-bucket-region", "")
        raise raised
    except (OSError, http.client.HTTPException) as error:
        raise Again(f"{url} cannot be reached: {getattr(error, 'reason', error)}")


def domain(region: str) -> str:
    """What AWS's names end in, in a region."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def s3(method: str, key: str, body: bytes = b"", **headers: str) -> Any:
    """Ask S3 for an object of the bucket, in the region where that is."""
    if OWNER:
        headers["x_amz_expected_bucket_owner"] = OWNER
    region = REGION
    for _ in range(2):
        base = ENDPOINT.rstrip("/") or f"https://s3.{region}.{domain(region)}"
        url = f"{base}/{BUCKET}/{urllib.parse.quote(key, safe='/-_.~')}"
        try:
            return ask(method, url, "s3", region, body, **headers)
        except Failed as error:
            if error.home in ("", region):
                raise
            region = error.home
    raise Failed(f"the bucket {BUCKET} is in no region")


def fetch(key: str, file: str, digest: str) -> None:
    """Fetch an object that has this SHA-256; what is there already and has it stays."""
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
        raise Again(f"{key} broke off: {error}")
    if promised is not None and size < int(promised):
        raise Again(f"{key} broke off after {size} of {promised} bytes")
    if got.hexdigest() != digest:
        os.unlink(part)
        raise Failed(f"{key} is not what was launched: its SHA-256 is another")
    os.rename(part, file)


def digest_of(file: str) -> str:
    """The SHA-256 of a file."""
    got = hashlib.sha256()
    with open(file, "rb") as read:
        for block in iter(lambda: read.read(BLOCK), b""):
            got.update(block)
    return got.hexdigest()


def put(key: str, file: str) -> None:
    """Bring a file. A bucket may forbid writing over what is there without a word on what that is,
    so it is said."""
    with open(file, "rb") as read:
        body = read.read()
    told = {"content_type": TEXT}
    if SSE:
        told["x_amz_server_side_encryption"] = SSE
    if SSE and SSE_KEY:
        told["x_amz_server_side_encryption_aws_kms_key_id"] = SSE_KEY
    try:
        s3("PUT", key, body, if_none_match="*", **told).close()
    except Failed as error:
        if error.status != 412:
            raise
        with s3("HEAD", key) as there:
            etag = there.headers["ETag"]
        s3("PUT", key, body, if_match=etag, **told).close()


def parameter(name: str, file: str) -> None:
    """Read a parameter into a file that is ours alone."""
    url = ENDPOINT or f"https://ssm.{REGION}.{domain(REGION)}"
    body = json.dumps({"Name": name, "WithDecryption": True}).encode()
    with ask(
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
    """Do what was asked; tried again where it may pass."""
    tasks: Dict[str, Callable[..., None]] = {"fetch": fetch, "put": put, "parameter": parameter}
    do = tasks[sys.argv[1]]
    left, pause = PATIENCE, 1
    while True:
        try:
            do(*sys.argv[2:])
            return 0
        except Failed as error:
            if not isinstance(error, Again) or left <= 0:
                sys.stderr.write(f"{error}\n")
                return 1
        time.sleep(pause)
        left -= pause
        pause = min(2 * pause, LONGEST)


if __name__ == "__main__":
    sys.exit(main())
