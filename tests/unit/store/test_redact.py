"""Removal of secrets from errors of libraries."""

import pytest

from spawn.store.objects.redact import redact

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("AccessDenied: Access Denied", "AccessDenied: Access Denied"),
        ('to "http://host:9000/b/k"', 'to "http://host:9000/b/k"'),
        ('to "http://u:p@host:9000/b/k"', 'to "http://***@host:9000/b/k"'),
        ('to "https://host/b?list-type=2&token=p"', 'to "https://host/b"'),
        ("write to me@example.com", "write to me@example.com"),
        ("Invalid header value b'p\\n'", "Invalid header value"),
        ("Failed to parse: http://u:p", "Failed to parse"),
        (f"a secret {SECRET} in words", "a secret *** in words"),
        (f"a part of {SECRET[:20]}", f"a part of {SECRET[:20]}"),
    ],
)
def test_secrets_are_removed_from_a_text(text: str, left: str) -> None:
    assert redact(text, {"AWS_SECRET_ACCESS_KEY": f"{SECRET}\n"}) == left


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTPS_PROXY"])
@pytest.mark.parametrize("password", ["p/w", "p w", "p?w", "p#w", 'p"w', "p@w"])
def test_a_password_that_makes_a_url_invalid_is_removed(name: str, password: str) -> None:
    address = f"http://user:{password}@host:1"
    assert redact(f"Invalid: {address}", {name: address}) == "Invalid: http://***@host:1"


def test_a_secret_that_is_a_common_word_is_kept() -> None:
    assert redact("the key", {"AWS_SECRET_ACCESS_KEY": "key"}) == "the key"
