"""Scripts that run on an instance before anything is installed, checked by other tools; their
signatures are checked against AWS's own library. Nothing runs the dnf branch."""

import ast
import importlib.util
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from tests.support.answers import Answer, RecordedRequest, answering
from tests.support.imds import ROLE, metadata

FOLDER = Path(__file__).parents[2] / "store" / "aws" / "boot" / "instance"
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
def test_shellcheck_reports_nothing() -> None:
    done = subprocess.run(["shellcheck", BOOTSTRAP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.tool("bash")
def test_bash_parses_the_script_including_the_dnf_branch() -> None:
    subprocess.run(["bash", "-n", BOOTSTRAP], check=True)
    text = BOOTSTRAP.read_text()
    assert "dnf install -y -q python3.11 python3.11-pip" in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("set -x")]


def test_the_courier_runs_on_the_python_of_old_images() -> None:
    ast.parse(COURIER.read_text(), feature_version=(3, 7))


@pytest.mark.parametrize(
    ("service", "path"), [("s3", "/b/a%20b/%C3%A9/x%2By"), ("ssm", "/")], ids=["s3", "ssm"]
)
def test_the_courier_signs_as_aws_does(
    courier: ModuleType, monkeypatch: pytest.MonkeyPatch, service: str, path: str
) -> None:
    url = f"https://{service}.eu-west-1.amazonaws.com{path}"
    body = b"" if service == "s3" else b'{"Name": "x"}'
    told = {"if-none-match": "*", "content-type": "text/plain"}
    with metadata(b"{}", role=True) as server:
        monkeypatch.setattr(courier, "IMDS", server.endpoint)
        made = courier.sign("PUT", url, service, "eu-west-1", body, told)
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


class Times:
    """Gives one answer the first `left` times and another one after that."""

    def __init__(self, times: int, first: Answer, then: Answer) -> None:
        self.left = times
        self._first = first
        self._then = then

    def __call__(self, _: RecordedRequest) -> Answer:
        self.left -= 1
        return self._first if self.left >= 0 else self._then


def _run(
    courier: ModuleType,
    patch: pytest.MonkeyPatch,
    answer: Callable[[RecordedRequest], Answer],
    *words: str,
) -> tuple[int, list[float]]:
    """Run the courier against a test server; records its pauses instead of waiting."""
    pauses: list[float] = []
    with metadata(b"{}", role=True) as imds, answering(answer) as server:
        patch.setattr(courier, "IMDS", imds.endpoint)
        patch.setattr(courier, "ENDPOINT", server.endpoint)
        patch.setattr(courier, "REGION", "us-east-1")
        patch.setattr(courier, "BUCKET", "b")
        patch.setattr(courier.time, "sleep", pauses.append)
        patch.setattr(courier.sys, "argv", ["courier.py", *words])
        return courier.main(), pauses


VALUE = Answer(body=b'{"Parameter": {"Value": "A=1"}}')
SSM_DENIED = Answer(400, b'{"__type": "com.amazonaws.ssm#AccessDeniedException"}')
S3_DENIED = Answer(403, b"<Error><Code>AccessDenied</Code></Error>")


def test_a_permission_that_has_not_propagated_is_retried(
    courier: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "got"
    digest = sha256(b"data").hexdigest()
    answer = Times(9, S3_DENIED, Answer(body=b"data"))
    code, pauses = _run(courier, monkeypatch, answer, "fetch", "k", str(file), digest)
    assert (code, file.read_bytes(), len(pauses)) == (0, b"data", 9)
    answer = Times(9, SSM_DENIED, VALUE)  # SSM denies with status 400
    assert _run(courier, monkeypatch, answer, "parameter", "/p", str(file))[0] == 0
    assert file.read_bytes() == b"A=1"


def test_a_lasting_denial_fails_after_two_minutes_and_a_permanent_error_at_once(
    courier: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("parameter", "/p", str(tmp_path / "got"))
    code, pauses = _run(courier, monkeypatch, lambda _: SSM_DENIED, *words)
    assert code == 1
    assert 120 <= sum(pauses) <= 180
    assert "AccessDeniedException" in capsys.readouterr().err
    gone = Answer(400, b'{"__type": "ParameterNotFound"}')
    assert _run(courier, monkeypatch, lambda _: gone, *words) == (1, [])


def test_a_truncated_download_is_retried(
    courier: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "got"
    short = Times(1, Answer(body=b"da", promised=4), Answer(body=b"data"))
    words = ("fetch", "k", str(file), sha256(b"data").hexdigest())
    assert _run(courier, monkeypatch, short, *words) == (0, [1])
    other = Answer(body=b"date")
    assert _run(
        courier, monkeypatch, lambda _: other, *words[:2], str(tmp_path / "x"), words[3]
    ) == (1, [])


def test_missing_credentials_are_retried(
    courier: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    early = ["", "{}", '{"Code": "Failed"}', "[]"]
    real = courier.metadata

    def metadata_(path: str, **told: str) -> str:
        if path.endswith("/spawn-instance") and early:
            return early.pop()
        return str(real(path, **told))

    monkeypatch.setattr(courier, "metadata", metadata_)
    words = ("parameter", "/p", str(tmp_path / "got"))
    code, pauses = _run(courier, monkeypatch, lambda _: VALUE, *words)
    assert (code, len(pauses)) == (0, 4)


def test_uploads_use_the_launchers_encryption(
    courier: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    file.write_text("words")
    seen: list[dict[str, str]] = []

    def keep(asked: RecordedRequest) -> Answer:
        seen.append(asked.headers)
        return Answer()

    monkeypatch.setattr(courier, "SSE", "aws:kms")
    monkeypatch.setattr(courier, "SSE_KEY", "alias/x")
    assert _run(courier, monkeypatch, keep, "put", "k", str(file))[0] == 0
    (headers,) = seen
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/x"
