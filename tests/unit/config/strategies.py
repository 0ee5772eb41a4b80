"""Random configurations, valid and damaged."""

import copy
from typing import Any

from hypothesis import strategies as st

Json = Any

SAFE = "ABCXYZabcxyz0189._-"
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
IDS = st.builds(str.__add__, st.sampled_from("Aaz09"), st.text(SAFE, max_size=8))
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: not name.startswith("SPAWN_")
)
VALUES = st.lists(
    st.one_of(TEXT.filter(lambda text: "$" not in text), st.sampled_from(["$", "${A_1}", "$$ "])),
    max_size=3,
).map(" ".join)
COMMANDS = TEXT.map(lambda text: f"echo {text}")
PATHS = st.one_of(st.sampled_from(["/a/../b", ".", "out/", "**/*.csv"]), TEXT.map("./{}".format))
DURATIONS = st.sampled_from(["30s", "5m", "1h30m", "1h 30m", "1.5h", "1d", "500ms"])
DELAYS = st.one_of(DURATIONS, st.just("0s"))
CODES = st.lists(st.integers(1, 255), max_size=3)
BUCKETS = st.from_regex(r"[a-z]{3}(-[a-z0-9]{1,5}){0,3}", fullmatch=True)
PREFIXES = st.lists(IDS, min_size=1, max_size=3).map("/".join)


def fields(**optional: st.SearchStrategy[Json]) -> st.SearchStrategy[dict[str, Json]]:
    """Objects with any subset of these fields."""
    return st.fixed_dictionaries({}, optional=optional)


@st.composite
def retries(draw: st.DrawFn) -> dict[str, Json]:
    """The long form of `retry`, without contradictions."""
    retry = draw(fields(retry_on_codes=CODES))
    retry["max_attempts"] = draw(st.integers(1, 1000))
    retry |= draw(
        st.sampled_from(
            [
                {},
                {"backoff": "fixed", "jitter": False},
                {"backoff": "exponential", "jitter": True},
                {"backoff": "exponential-jitter"},
            ]
        )
    )
    first = draw(st.sampled_from(["delay", "base_delay", "max_delay"]))
    retry |= draw(fields(**{first: DELAYS}))
    if "retry_on_codes" not in retry:
        retry |= draw(fields(dont_retry_on_codes=CODES))
    return retry


@st.composite
def jobs(draw: st.DrawFn, job_id: str, before: list[str]) -> dict[str, Json]:
    """A job in a mix of both dialects that depends on some of the earlier jobs."""
    job = draw(fields(timeout=DURATIONS, working_directory=PATHS))
    job |= {"job_id": job_id, "command": draw(COMMANDS)}
    if before:
        job |= draw(fields(depends_on=st.lists(st.sampled_from(before), unique=True, max_size=3)))
    variables = st.dictionaries(NAMES, VALUES, max_size=3)
    job |= draw(fields(env=variables) | fields(environment=variables))
    paths = st.lists(PATHS, max_size=3)
    job |= draw(fields(result_files=paths) | fields(result_paths=paths))
    return job | draw(fields(retry_count=st.integers(0, 1000)) | fields(retry=retries()))


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Json]:
    """Valid configurations."""
    ids = draw(st.lists(IDS, min_size=1, max_size=4, unique=True))
    queue = draw(
        fields(
            queue_id=IDS.filter(lambda name: name != "local"),
            queue_name=TEXT.filter(lambda text: text.strip() and text.isprintable()),
            global_timeout=DURATIONS,
            on_failure=st.sampled_from(["stop", "continue"]),
            max_parallel=st.integers(1, 10_000),
            durability=st.sampled_from(["local", "s3"]),
            upload_wait=DELAYS,
            kill_grace=DELAYS,
            result_s3_bucket=BUCKETS,
            result_s3_prefix=PREFIXES,
        )
    )
    queue["jobs"] = [draw(jobs(job_id, ids[:index])) for index, job_id in enumerate(ids)]
    return queue


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.text(st.characters(categories=["Cs", "Cc"]), max_size=3)
    | st.sampled_from(["jobs", "job_id", "command", "depends_on", "retry", "env", "30s", "a"])
)
ANY_JSON: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["jobs", "job_id", "command", "depends_on", "retry", "env"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@st.composite
def spoilt(draw: st.DrawFn) -> Json:
    """A valid configuration with a few values replaced, removed, duplicated or renamed."""
    value = copy.deepcopy(draw(configurations()))
    for _ in range(draw(st.integers(1, 3))):
        spoil(draw, value)
    return value


def spoil(draw: st.DrawFn, value: Json) -> None:
    """Change one random value of a JSON document."""
    within = value
    while True:
        keys = list(within) if isinstance(within, dict) else list(range(len(within)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if isinstance(within[key], dict | list) and draw(st.integers(0, 3)):
            within = within[key]
            continue
        match draw(st.sampled_from(["replace", "take out", "double", "rename"])):
            case "replace":
                within[key] = draw(ANY_JSON)
            case "take out":
                del within[key]
            case "double" if isinstance(within, list):
                within.append(within[key])
            case "rename" if isinstance(within, dict):
                within[draw(st.text(max_size=4) | st.sampled_from(["needs", "env"]))] = within[key]
        return
