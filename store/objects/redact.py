"""Error texts of others, without what is nobody's to read.

boto3 quotes addresses, with a password in them where one was given, and headers that HTTP cannot
have, a session token among them.
"""

import os
import re
from collections.abc import Iterator, Mapping

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_SECRET_LETTERS = 8
"""A shorter one may be a word of the text; no server that we know of allows it."""
_ADDRESSES = re.compile(r"AWS_ENDPOINT_URL\w*|https?_proxy|all_proxy", re.IGNORECASE)
"""Variables whose values may have a name and a password in them."""
_HIDDEN = "***"
_ACCOUNT = re.compile(r"(//)[^/\s\"'<>]*@")
_QUERY = re.compile(r"(https?://[^\s\"'<>?]*)\?[^\s\"'<>]*")
_QUOTED = re.compile(r"((?:header (?:name|value)|failed to parse)\b).*", re.IGNORECASE | re.DOTALL)
"""Where `http.client` and urllib3 begin to quote what they cannot make sense of."""


def redact(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Take names and passwords, queries, values of headers and our own secrets out of a text."""
    for secret, instead in _secrets(environ):
        text = text.replace(secret, instead)
    text = _ACCOUNT.sub(rf"\1{_HIDDEN}@", _QUOTED.sub(r"\1", text))
    return _QUERY.sub(r"\1", text)


def _secrets(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What must not be said, as far as the environment has it, and what to say instead."""
    for name, value in environ.items():
        if name in _SECRETS and len(value.strip()) >= _SECRET_LETTERS:
            yield value.strip(), _HIDDEN
        elif _ADDRESSES.fullmatch(name) and "@" in value:
            account = value.rpartition("@")[0]
            yield f"{account.partition('//')[2] or account}@", f"{_HIDDEN}@"
