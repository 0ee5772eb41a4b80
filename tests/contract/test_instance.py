"""Instance identity from a test metadata service; off EC2 no request is made."""

import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.imds import ENDPOINT, metadata
from tests.support.s3 import free_port

from spawn.store.aws import this_machine as module
from spawn.store.aws.this_machine import Instance, detect_instance, machine_id

DOCUMENT = {"instanceId": "i-0abc1234def567890", "region": "eu-west-1", "accountId": "1"}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Refuse every connection; returns the attempted addresses."""
    wanted: list[object] = []

    def connect(_: socket.socket, address: object) -> None:
        wanted.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return wanted


def test_on_ec2_the_service_gives_instance_id_and_region() -> None:
    with metadata(json.dumps(DOCUMENT).encode()) as server:
        found = detect_instance({ENDPOINT: server.endpoint})
        assert [asked.method for asked in server.asked] == ["PUT", "GET"]
        assert detect_instance({ENDPOINT: f"{server.endpoint}/"}) == found
    assert found == Instance("i-0abc1234def567890", "eu-west-1")
    assert found.on_ec2


@pytest.mark.parametrize(
    "document", [b"", b"<html>", b"[]", b"null", b'{"region": "eu-west-1"}', b"\xff"]
)
def test_an_empty_answer_counts_as_no_instance(document: bytes) -> None:
    with metadata(document) as server:
        assert detect_instance({ENDPOINT: server.endpoint}) == Instance()


def test_a_service_without_a_token_counts_as_no_instance() -> None:
    with metadata(json.dumps(DOCUMENT).encode(), token_status=403) as server:
        assert detect_instance({ENDPOINT: server.endpoint}) == Instance()


def test_a_silent_or_absent_service_counts_as_no_instance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert detect_instance({ENDPOINT: f"http://127.0.0.1:{free_port()}"}) == Instance()
    monkeypatch.setattr(module, "_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert (
            detect_instance({ENDPOINT: f"http://127.0.0.1:{silent.getsockname()[1]}"}) == Instance()
        )


def test_disabling_the_metadata_client_gives_no_instance(no_network: list[object]) -> None:
    environ = {ENDPOINT: "http://127.0.0.1:9", "AWS_EC2_METADATA_DISABLED": "TRUE"}
    assert detect_instance(environ) == Instance()
    assert no_network == []


@pytest.mark.parametrize(
    ("file", "told"), [("_VENDOR", "Dell Inc."), ("_XEN", "0000-00"), ("", "")]
)
def test_off_ec2_no_connection_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_network: list[object], file: str, told: str
) -> None:
    _firmware(monkeypatch, tmp_path, file, told)
    assert detect_instance({}) == Instance()
    assert not detect_instance({}).on_ec2
    assert no_network == []


@pytest.mark.parametrize(("file", "told"), [("_VENDOR", "Amazon EC2"), ("_XEN", "ec2e1916-9099")])
def test_on_ec2_hardware_the_link_local_address_is_queried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_network: list[object], file: str, told: str
) -> None:
    _firmware(monkeypatch, tmp_path, file, told)
    assert detect_instance({}) == Instance()
    assert set(no_network) == {("169.254.169.254", 80)}


def _firmware(monkeypatch: pytest.MonkeyPatch, folder: Path, file: str, told: str) -> None:
    """Give the machine one firmware file, or none."""
    for name in ("_VENDOR", "_XEN"):
        path = folder / name
        if name == file:
            path.write_text(f"{told}\n")
        monkeypatch.setattr(module, name, path)


def test_a_place_identifies_machine_and_folder_without_revealing_them(tmp_path: Path) -> None:
    here = machine_id(Instance(), tmp_path)
    assert here == machine_id(Instance(), tmp_path)
    assert here != machine_id(Instance(), tmp_path / "other")
    one, two = Instance("i-1", "eu-west-1"), Instance("i-2", "eu-west-1")
    assert len({here, machine_id(one, tmp_path), machine_id(two, tmp_path)}) == 3
    assert str(tmp_path) not in here


@pytest.mark.parametrize("told", ["", "uninitialized"])
def test_a_machine_without_an_id_keeps_its_place_under_another_hostname(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """As in a restarted container."""
    (tmp_path / "_MACHINE_ID").write_text(f"{told}\n")
    monkeypatch.setattr(module, "_MACHINE_ID", tmp_path / "_MACHINE_ID")
    state = tmp_path / "state"
    state.mkdir()
    here = machine_id(Instance(), state)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="another"))
    assert machine_id(Instance(), state) == here
    assert [each.name for each in state.iterdir()] == ["machine-id"]
    (state / "machine-id").unlink()
    assert machine_id(Instance(), state) != here, "two machines with one name are distinct"
