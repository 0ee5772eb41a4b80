"""The HTML report in a real browser: light, dark, narrow, printed; it makes no request."""

import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli import pages
from tests.support.chromium import Browser, browser
from tests.support.soak import gate_all_but_first

pytestmark = pytest.mark.tool("chromium")

WIDTHS = (360, 480, 737, 768, 1025, 1200, 2200)
MAKE = {
    "completed": lambda: pages.html(pages.completed(), "16:00:00"),
    "failed": lambda: pages.html(pages.failed(), "15:00:00"),
    "two_machines": lambda: pages.html(pages.two_machines(), "14:10:00", alive=True),
    "many": lambda: pages.html(pages.many(), "20:00:00"),
    "long": lambda: pages.html(pages.long(), "15:00:00"),
}


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, make in MAKE.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(make())
    return found


def requests(chromium: Browser) -> list[str]:
    return [
        event["params"]["request"]["url"]
        for event in chromium.events
        if event.get("method") == "Network.requestWillBeSent"
    ]


def complaints(chromium: Browser) -> list[object]:
    """Console messages, errors, refused styles, dialogs."""
    kinds = (
        "Log.entryAdded",
        "Runtime.consoleAPICalled",
        "Runtime.exceptionThrown",
        "Page.javascriptDialogOpening",
    )
    return [event for event in chromium.events if event.get("method") in kinds]


@pytest.mark.parametrize("dark", gate_all_but_first([False, True]), ids=["light", "dark"])
@pytest.mark.parametrize("name", MAKE)
def test_the_page_loads_only_itself_and_logs_no_error(
    chromium: Browser, written: dict[str, Path], name: str, dark: bool
) -> None:
    for width in WIDTHS:
        chromium.show(written[name], width=width, dark=dark)
        assert requests(chromium) == [written[name].as_uri()]
        assert complaints(chromium) == []
        root = "document.documentElement"
        wide, there = chromium.value(f"[{root}.scrollWidth, {root}.clientWidth]")
        assert (wide, there) == (width, width)


def test_dark_and_light_schemes_have_different_backgrounds(
    chromium: Browser, written: dict[str, Path]
) -> None:
    grounds = []
    for dark in (False, True):
        chromium.show(written["completed"], dark=dark)
        grounds.append(chromium.value("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(252, 252, 251)", "rgb(21, 24, 27)"]


def test_no_text_overflows_its_element(chromium: Browser, written: dict[str, Path]) -> None:
    chromium.show(written["failed"], width=360)
    out = chromium.value(
        "[...document.querySelectorAll('h1,h2,h3,p,td,th,pre,li,dd')].filter(e => "
        "e.getBoundingClientRect().right > 361).map(e => e.textContent.slice(0, 40))"
    )
    assert out == []


def test_attempts_are_visible_and_do_not_overlap_within_a_job(
    chromium: Browser, written: dict[str, Path]
) -> None:
    chromium.show(written["failed"])
    rows = chromium.value(
        "[...document.querySelectorAll('.rows .track')].map(t => [...t.querySelectorAll('.bar')]"
        ".map(b => b.getBoundingClientRect()).map(r => [r.left, r.right, r.height]))"
    )
    assert [len(row) for row in rows] == [3, 1, 2, 0, 0, 1]
    for row in rows:
        assert all(right - left >= 3 and height >= 8 for left, right, height in row)
        assert all(a[1] <= b[0] + 0.5 for a, b in itertools.pairwise(row))


def test_the_critical_path_is_a_staircase_from_the_left_edge_to_the_end(
    chromium: Browser, written: dict[str, Path]
) -> None:
    chromium.show(written["failed"])
    steps = chromium.value(
        "[...document.querySelectorAll('.rows .chain')].map(e => e.getBoundingClientRect())"
        ".map(r => [r.left, r.right])"
    )
    left, right = chromium.value(
        "(r => [r.left, r.right])(document.querySelector('.track').getBoundingClientRect())"
    )
    assert steps[0][0] == pytest.approx(left, abs=0.5)
    assert steps[-1][1] == pytest.approx(right, abs=0.5)
    for before, after in itertools.pairwise(steps):
        assert after[0] == pytest.approx(before[1], abs=0.5)


def test_hostile_text_creates_no_element(chromium: Browser, written: dict[str, Path]) -> None:
    chromium.show(written["failed"])
    assert chromium.value("document.querySelectorAll('img, script, svg, iframe').length") == 0
    assert chromium.value("document.styleSheets.length") == 1
    assert "<img src=x onerror=alert(1)>" in chromium.value("document.title")


def test_the_pages_policy_blocks_scripts(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "tampered.html"
    html = pages.html(pages.completed(), "16:00:00")
    file.write_text(html.replace("</body>", "<script>document.title = 'ran'</script></body>"))
    chromium.show(file)
    assert chromium.value("document.title") != "ran"
    assert "Content Security Policy" in str(complaints(chromium))


@pytest.mark.parametrize("name", MAKE)
def test_nothing_is_cut_off_on_a4(chromium: Browser, written: dict[str, Path], name: str) -> None:
    """A4 without the page's margins is 182 mm wide, 688 CSS pixels."""
    chromium.show(written[name], width=688)
    chromium("Emulation.setEmulatedMedia", media="print")
    assert chromium.value("document.documentElement.scrollWidth") == 688


@pytest.mark.parametrize("name", gate_all_but_first(["many", "completed", "failed"]))
def test_the_page_prints_in_light_colours(
    chromium: Browser, written: dict[str, Path], name: str
) -> None:
    chromium.show(written[name], dark=True)
    pdf = chromium.pdf()
    assert pdf.startswith(b"%PDF-")
    sheets = pdf.count(b"/Type /Page\n") or pdf.count(b"/Type/Page\n")
    assert (1 <= sheets <= 4) if name != "many" else sheets > 4
    chromium("Emulation.setEmulatedMedia", media="print")
    colours = chromium.value(
        "(s => [s.getPropertyValue('--ink'), s.getPropertyValue('--track')])"
        "(getComputedStyle(document.documentElement))"
    )
    assert colours == ["#1d2125", "#f1f2f1"]


def test_screenshots_are_not_blank(
    chromium: Browser, written: dict[str, Path], tmp_path: Path
) -> None:
    for name in ("completed", "failed", "two_machines"):
        for width, dark in ((1200, False), (1200, True), (360, False)):
            chromium.show(written[name], width=width, dark=dark)
            picture = chromium.picture(tmp_path / f"{name}-{width}-{dark}.png").read_bytes()
            assert picture.startswith(b"\x89PNG")
            assert len(zlib.compress(picture)) > 20_000
