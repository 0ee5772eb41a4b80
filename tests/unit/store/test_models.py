"""Our loader of AWS's models gives the same result as botocore's."""

from pathlib import Path

import pytest
from botocore.exceptions import UnknownServiceError
from botocore.loaders import JSONFileLoader
from botocore.session import get_session

from spawn.store.objects import service_models
from spawn.store.objects.service_models import create_session


@pytest.fixture(autouse=True)
def _read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not share decoded models with other tests, as botocore changes them."""
    for loader in (service_models._Files, JSONFileLoader):
        monkeypatch.setattr(loader, "load_file", loader.load_file.__wrapped__)


@pytest.mark.parametrize("service", ["s3", "sts", "ec2", "iam", "ssm"])
def test_a_service_model_equals_botocores(service: str) -> None:
    ours, theirs = (each.get_component("data_loader") for each in (create_session(), get_session()))
    for kind in ("service-2", "endpoint-rule-set-1", "paginators-1"):
        found = ours.load_service_model(service, kind)
        assert found == theirs.load_service_model(service, kind)
    assert ours.load_data("endpoints") == theirs.load_data("endpoints")


def test_custom_models_take_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endpoints.json").write_text('{"of": "our own"}')
    monkeypatch.setenv("AWS_DATA_PATH", f"{tmp_path / 'none'}:{tmp_path}")
    assert create_session().get_component("data_loader").load_data("endpoints") == {"of": "our own"}


def test_a_missing_service_is_unknown() -> None:
    with pytest.raises(UnknownServiceError):
        create_session().create_client("s4", region_name="us-east-1")
