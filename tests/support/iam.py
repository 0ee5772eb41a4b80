"""An AWS account with enforced IAM and the policies of `docs/iam-policies.md`.

moto enforces them for every request to S3 and EC2, including signatures. It ignores: conditions (a
statement with one always denies), bucket policies, KMS, 403 instead of 404 for clients that may not
list, and some names of permissions: it checks `s3:PutBucketPublicAccessBlock` and
`s3:PutEncryptionConfiguration` as `s3:CreateBucket`.
"""

import json
import re
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from tests.support.s3 import CREDENTIALS, Server, moto

PAGE = Path(__file__).parents[2] / "docs" / "iam-policies.md"
DOCUMENTED_BUCKET = "my-bucket"
Statement = dict[str, Any]
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


def blocks(heading: str) -> list[dict[str, Any]]:
    """Return the JSON blocks in the page's section with this heading, including subsections."""
    text = PAGE.read_text()
    section = re.split(r"^## ", text.split(f"\n## {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", section[0], re.DOTALL)]


def statements(heading: str, bucket: str) -> list[Statement]:
    """Return the statements of a section's policy, for a bucket."""
    policy, *_ = blocks(heading)
    return _named(policy["Statement"], bucket)


def more(heading: str, bucket: str) -> list[Statement]:
    """Return a section's optional statements, for a bucket."""
    _, *rest = blocks(heading)
    return _named(rest, bucket)


def _named(found: list[Statement], bucket: str) -> list[Statement]:
    text = json.dumps(found)
    assert DOCUMENTED_BUCKET in text or "kms" in text or "spawn-queue" in text
    named: list[Statement] = json.loads(text.replace(DOCUMENTED_BUCKET, bucket))
    return named


class Account:
    """An account.

    Args:
        server: A separate moto server, without enforced IAM so far.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._iam = server.client("iam")
        self._iam.create_user(UserName="admin")
        every = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        self.admin = self._key("admin")
        self._put("user", "admin", [every])
        self._enforce()

    def client(self, service: str = "s3", environ: Mapping[str, str] | None = None) -> Any:
        """Create a client with these credentials, by default with all permissions."""
        keys = environ or self.admin
        return boto3.client(
            service,
            endpoint_url=self.server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=keys.get("AWS_SESSION_TOKEN"),
        )

    def user(self, name: str, policy: list[Statement]) -> dict[str, str]:
        """Create a user with a policy; returns its environment."""
        self._iam = self.client("iam")
        self._iam.create_user(UserName=name)
        self._put("user", name, policy)
        return self._key(name)

    def role(self, name: str, policy: list[Statement]) -> dict[str, str]:
        """Create a role with a policy; returns the environment of an assumed session."""
        self._iam = self.client("iam")
        made = self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_TRUST))
        self._put("role", name, policy)
        found = self.client("sts").assume_role(
            RoleArn=made["Role"]["Arn"], RoleSessionName="instance"
        )["Credentials"]
        return {
            **CREDENTIALS,
            "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
            "AWS_SESSION_TOKEN": found["SessionToken"],
        }

    def _put(self, kind: str, name: str, policy: list[Statement]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": policy})
        put = getattr(self._iam, f"put_{kind}_policy")
        named = {f"{kind.title()}Name": name, "PolicyName": "documented"}
        put(PolicyDocument=document, **named)

    def _key(self, name: str) -> dict[str, str]:
        found = self._iam.create_access_key(UserName=name)["AccessKey"]
        return {
            **CREDENTIALS,
            "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        }

    def _enforce(self) -> None:
        """Enforce IAM from here on."""
        request = urllib.request.Request(
            f"{self.server.endpoint}/moto-api/reset-auth",
            data=b"0",
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def account(folder: Path) -> Iterator[Account]:
    """An account in a separate server, with its output in a file in `folder`."""
    with moto(folder) as server:
        yield Account(server)
