"""Our reader of AWS's models gives what botocore's own gives."""

from pathlib import Path

import pytest
from botocore.exceptions import UnknownServiceError
from botocore.loaders import JSONFileLoader
from botocore.session import get_session

from spawn.store.objects import models
from spawn.store.objects.models import session


@pytest.fixture(autouse=True)
def _read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests share what was decoded once, and botocore changes it."""
    for loader in (models._Files, JSONFileLoader):
        monkeypatch.setattr(loader, "load_file", loader.load_file.__wrapped__)


@pytest.mark.parametrize("service", ["s3", "sts", "ec2", "iam", "ssm"])
def test_a_service_is_what_botocore_says_that_it_is(service: str) -> None:
    ours, theirs = (each.get_component("data_loader") for each in (session(), get_session()))
    for kind in ("service-2", "endpoint-rule-set-1", "paginators-1"):
        found = ours.load_service_model(service, kind)
        assert found == theirs.load_service_model(service, kind)
    assert ours.load_data("endpoints") == theirs.load_data("endpoints")


def test_models_of_ones_own_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endpoints.json").write_text('{"of": "our own"}')
    monkeypatch.setenv("AWS_DATA_PATH", f"{tmp_path / 'none'}:{tmp_path}")
    assert session().get_component("data_loader").load_data("endpoints") == {"of": "our own"}


def test_a_service_that_there_is_not_is_unknown() -> None:
    with pytest.raises(UnknownServiceError):
        session().create_client("s4", region_name="us-east-1")
