"""Remove secrets from the error messages of libraries.

boto3 quotes URLs with the passwords in them, and invalid headers, which may be session tokens.
"""

import os
import re
from collections.abc import Iterator, Mapping

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_MIN_SECRET_LENGTH = 8
"""A shorter value may be an ordinary word; no known server allows one."""
_ADDRESSES = re.compile(r"AWS_ENDPOINT_URL\w*|https?_proxy|all_proxy", re.IGNORECASE)
"""Variables whose URLs may contain a user name and a password."""
_HIDDEN = "***"
_ACCOUNT = re.compile(r"(//)[^/\s\"'<>]*@")
_QUERY = re.compile(r"(https?://[^\s\"'<>?]*)\?[^\s\"'<>]*")
_QUOTED = re.compile(r"((?:header (?:name|value)|failed to parse)\b).*", re.IGNORECASE | re.DOTALL)
"""Where `http.client` and urllib3 quote invalid input."""


def redact(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Remove URL credentials, query strings, header values and the environment's secrets."""
    for secret, instead in _secrets(environ):
        text = text.replace(secret, instead)
    text = _ACCOUNT.sub(rf"\1{_HIDDEN}@", _QUOTED.sub(r"\1", text))
    return _QUERY.sub(r"\1", text)


def _secrets(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the secrets in the environment, each with its replacement."""
    for name, value in environ.items():
        if name in _SECRETS and len(value.strip()) >= _MIN_SECRET_LENGTH:
            yield value.strip(), _HIDDEN
        elif _ADDRESSES.fullmatch(name) and "@" in value:
            account = value.rpartition("@")[0]
            yield f"{account.partition('//')[2] or account}@", f"{_HIDDEN}@"
