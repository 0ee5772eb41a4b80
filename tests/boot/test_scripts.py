"""What runs on an instance before anything is installed: read by others' eyes, and its signatures
by AWS's own library. The branch for dnf is parsed and read; nothing runs it."""

import ast
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from tests.support.imds import ROLE, metadata

FOLDER = Path(__file__).parents[2] / "core" / "boot" / "instance"
BOOTSTRAP = FOLDER / "bootstrap.sh"
COURIER = FOLDER / "courier.py"


@pytest.fixture
def courier(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module."""
    spec = importlib.util.spec_from_file_location("courier", COURIER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.tool("shellcheck")
def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", BOOTSTRAP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.tool("bash")
def test_bash_parses_it_the_branch_for_dnf_included() -> None:
    subprocess.run(["bash", "-n", BOOTSTRAP], check=True)
    text = BOOTSTRAP.read_text()
    assert "dnf install -y -q python3.11 python3.11-pip" in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("set -x")]


def test_the_courier_is_python_that_old_images_have() -> None:
    ast.parse(COURIER.read_text(), feature_version=(3, 7))


@pytest.mark.parametrize(
    ("service", "path"), [("s3", "/b/a%20b/%C3%A9/x%2By"), ("ssm", "/")], ids=["s3", "ssm"]
)
def test_it_signs_as_aws_does(
    courier: ModuleType, monkeypatch: pytest.MonkeyPatch, service: str, path: str
) -> None:
    url = f"https://{service}.eu-west-1.amazonaws.com{path}"
    body = b"" if service == "s3" else b'{"Name": "x"}'
    told = {"if-none-match": "*", "content-type": "text/plain"}
    with metadata(b"{}", role=True) as server:
        monkeypatch.setattr(courier, "IMDS", server.endpoint)
        made = courier.signed("PUT", url, service, "eu-west-1", body, told)
    ours = {name.lower(): value for name, value in made.header_items()}
    credentials = Credentials(ROLE["AccessKeyId"], ROLE["SecretAccessKey"], ROLE["Token"])
    request = AWSRequest("PUT", url, data=body, headers=told)
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(credentials, service, "eu-west-1")
    request.context["timestamp"] = ours["x-amz-date"]
    headers = HTTPHeaders()
    for name, value in ours.items():
        if name != "authorization":
            headers[name] = value
    headers["host"] = urlsplit(url).netloc
    request.headers = headers
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert ours["authorization"].endswith(f"Signature={signer.signature(text, request)}")
