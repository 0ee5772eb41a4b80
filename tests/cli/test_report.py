"""`spawn queue report`: the file that it writes, and its content."""

import os
import re
import threading
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markupsafe import Markup
from tests.cli import pages
from tests.cli.support import Home, chain
from tests.support.legal import legal_logs
from tests.support.logs import LogBuilder
from tests.support.soak import scaled

from spawn.cli.output.page.data import PageData
from spawn.cli.output.page.page import POLICY, environment, page
from spawn.cli.output.page.time_axis import Scale
from spawn.core.reports.model import Report

ELEMENTS = {
    "a", "article", "b", "body", "caption", "code", "dd", "div", "dl", "dt", "footer", "h1", "h2",
    "h3", "head", "header", "html", "i", "li", "main", "meta", "ol", "p", "pre", "section", "span",
    "style", "table", "tbody", "td", "th", "thead", "title", "tr", "ul",
}  # fmt: skip
PAGES = {
    "completed": (pages.completed, "16:00:00"),
    "failed": (pages.failed, "15:00:00"),
    "two_machines": (pages.two_machines, "14:10:00"),
}


class Outline(HTMLParser):
    """Elements, attributes and text of a page; fails on an element that is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)
        if "style" not in self.open:
            self.words.append(data)


@pytest.fixture(params=PAGES)
def outline(request: pytest.FixtureRequest) -> Outline:
    make, clock = PAGES[request.param]
    return Outline(pages.html(make(), clock, alive=True))


def test_a_page_has_only_known_elements(outline: Outline) -> None:
    assert outline.seen <= ELEMENTS


def test_a_page_requests_nothing_and_runs_nothing(outline: Outline) -> None:
    assert ("meta", "content", POLICY) in outline.attributes
    for _, name, value in outline.attributes:
        assert name not in ("src", "srcset", "background", "poster", "data", "action")
        assert not name.startswith("on")
        if name == "href":
            assert value.startswith(("#job-", "./"))
        if name == "style":
            assert "url(" not in value
    ids = [value for _, name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_links_within_the_page_have_targets(outline: Outline) -> None:
    ids = {value for _, name, value in outline.attributes if name == "id"}
    for _, name, value in outline.attributes:
        if name == "href" and value.startswith("#"):
            assert value[1:] in ids
        if name == "aria-labelledby":
            assert value in ids


def test_a_page_has_its_sections_in_order() -> None:
    found = Outline(pages.html(pages.failed(), "15:00:00")).headings
    assert found[1:] == [
        "Timeline", "Failures", "Critical path", "Jobs", "Files", "Audit"
    ]  # fmt: skip
    assert "Failures" not in Outline(pages.html(pages.completed(), "16:00:00")).headings


def test_hostile_text_is_escaped_and_has_no_invisible_characters() -> None:
    html = pages.html(pages.failed(), "15:00:00")
    outline = Outline(html)
    assert html.count("<img") == html.count("<script") == html.count("<svg") == 0
    assert html.count("</style>") == 1
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", html)
    text = "".join(outline.words)
    assert text.count("<img src=x onerror=alert(1)>") >= 4  # title, heading, command, last line


TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1)


@settings(max_examples=scaled(25, 60))
@given(
    TEXTS
    | st.lists(
        st.sampled_from(["<", ">", "&", '"', "'", "/", "script", "]]>", "<!--"]), min_size=1
    ).map("".join)
)
def test_no_foreign_text_changes_the_structure_of_a_page(text: str) -> None:
    plain = Outline(pages.html(pages.foreign("x"), "15:00:00"))
    found = Outline(pages.html(pages.foreign(text), "15:00:00"))
    assert found.tags == plain.tags
    assert [name for _, name, _ in found.attributes] == [name for _, name, _ in plain.attributes]


@settings(max_examples=scaled(25, 60))
@given(legal_logs(), st.sampled_from([True, False, None]))
def test_any_log_gives_a_page(log: LogBuilder, alive: bool | None) -> None:
    sheet = pages.sheet(log, log.now, alive=alive)
    outline = Outline(page(sheet))
    assert outline.seen <= ELEMENTS
    text = "".join(outline.words)
    for job_id in log.replay().state.order:
        assert job_id in text


def test_a_queue_that_has_not_started_has_a_page() -> None:
    log = pages.samples.submitted(pages.samples.SHORT, "14:05:30")
    for alive in (False, None):
        html = pages.html(log, "14:06:00", alive=alive)
        assert "No job has started." in html
        assert "nan" not in html


def test_the_page_is_deterministic() -> None:
    first, second = (pages.html(pages.failed(), "15:00:00") for _ in range(2))
    assert first == second


def test_the_timeline_has_every_job_attempt_and_wait() -> None:
    html = pages.html(pages.failed(), "15:00:00")
    assert html.count('class="row critical"') == 3
    assert html.count('class="row"') == 3
    timeline = html[: html.index('<ul class="legend"')]
    assert timeline.count('class="bar retrying"') == 3
    assert timeline.count('class="bar failed"') == 1
    assert timeline.count('class="bar completed"') == 3
    assert "attempt 2: failed, exit 1, 14:28:10 to 14:36:00, 7m 50s" in timeline


def test_unsaved_results_are_listed_as_a_failure() -> None:
    outline = Outline(pages.html(pages.unsaved(), "14:01:00"))
    assert "Failures" in outline.headings
    words = " ".join(outline.words)
    assert "Its results are not saved: changed: /w/model." in words
    assert "retries the upload of unsaved results." in words


def test_the_page_of_a_running_queue_has_its_as_of_time() -> None:
    html = pages.html(pages.two_machines(), "14:10:00", alive=True)
    assert "As of 2026-01-27 14:10:00 PST. Times are PST, UTC-08:00." in html
    dead = pages.html(pages.two_machines(), "14:10:00", alive=False)
    assert "; the queue has no runner." in dead


def test_a_long_time_without_a_runner_is_cut_and_labelled() -> None:
    log = pages.two_machines()
    html = pages.html(log, "14:10:00", alive=True)
    assert "Not to scale, because the queue had no runner: 03:05:01 to 13:40:00 (10h 34m)." in html


def test_the_time_axis_is_monotonic_and_spans_the_whole_width() -> None:
    for make, clock in PAGES.values():
        sheet = pages.sheet(make(), pages.moment(clock))
        scale = Scale(sheet.timeline)
        places = [scale(sheet.timeline.end * n / 500) for n in range(501)]
        assert places == sorted(places)
        assert (places[0], places[-1]) == (0.0, pytest.approx(100.0))
        ticks = [tick.place for tick in scale.ticks(sheet.zone)]
        assert ticks == sorted(set(ticks))
        assert 1 <= len(ticks) <= 8


def test_the_page_of_ten_thousand_jobs_names_what_it_leaves_out() -> None:
    html = pages.html(pages.many(10_000), "23:59:59")
    assert len(html) < 4_000_000
    assert "9,600 jobs of 10,000 left out here" in html
    assert "9,000 jobs of 10,000 left out here" in html
    assert "shorter step" in html


def test_templates_escape_and_clean_everything_except_html() -> None:
    template = environment().from_string('<p class="{{ quoted }}">{{ text }}{{ html }}{{ no }}</p>')
    html = Markup("<i></i>")
    made = template.render(quoted='"x"', text="<b>\x1b[31m\u202e&", html=html, no=None)
    assert made == '<p class="&#34;x&#34;">&lt;b&gt;&amp;<i></i></p>'


def test_a_template_that_names_a_missing_value_fails() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ sheet.titel }}").render(sheet={})


def test_text_colours_have_enough_contrast_on_every_background() -> None:
    css = (Path(pages.__file__).parents[2] / "cli/output/page/templates/page.css").read_text()
    for scheme in re.findall(r":root \{(.*?)color-scheme", css, re.DOTALL):
        colours = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        for ground in ("paper", "card", "track"):
            for ink in ("ink", "soft", "done", "bad", "again", "cut", "live"):
                found = contrast(colours[ink], colours[ground])
                assert found >= 4.5, (ink, ground, found)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours. Source: WCAG 2.2, contrast ratio."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# the command


def test_a_report_replaces_an_earlier_report(finished: Home, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    for _ in range(2):
        done = finished("queue", "report", "bad", "-o", str(file))
        assert (done.returncode, done.stdout) == (0, f"Report written to: {file}\n"), done.stderr
        outline = Outline(file.read_text())
        assert outline.headings[0] == "bad"
        assert "oops" in "".join(outline.words)
    assert list(tmp_path.iterdir()) == [file]


def test_the_default_file_is_named_after_the_queue(home: Home) -> None:
    file = home.config({"queue_id": "q", "jobs": [{"job_id": "a", "command": "true"}]})
    assert home("queue", "run", file).returncode == 0
    assert home("queue", "report", "local").stdout == "Report written to: q-report.html\n"
    assert (home.work / "q-report.html").exists()
    (home.work / "there").mkdir()
    told = home("queue", "report", "q", "-o", "there/").stdout
    assert told == "Report written to: there/q-report.html\n"


def test_a_dash_writes_to_stdout(finished: Home) -> None:
    done = finished("queue", "report", "good", "-o", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert Outline(done.stdout).headings[0] == "good"


def test_a_file_that_is_not_a_report_is_not_overwritten(finished: Home, tmp_path: Path) -> None:
    file = tmp_path / "thesis.html"
    file.write_text("<p>three years of work</p>")
    done = finished("queue", "report", "bad", "-o", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"Error: {file} already exists and is not a report\n"
        "Hint: choose another file with -o, or remove it first\n"
    )
    assert file.read_text() == "<p>three years of work</p>"


def test_a_missing_folder_is_named(finished: Home, tmp_path: Path) -> None:
    done = finished("queue", "report", "bad", "-o", str(tmp_path / "no/report.html"))
    assert done.returncode == 2
    assert f"there is no folder {tmp_path / 'no'}" in done.stderr


def test_a_report_is_written_through_a_link_or_into_a_pipe(finished: Home, tmp_path: Path) -> None:
    (tmp_path / "real.html").touch()
    link = tmp_path / "link.html"
    link.symlink_to("real.html")
    assert finished("queue", "report", "bad", "-o", str(link)).returncode == 0
    assert link.is_symlink()
    assert (tmp_path / "real.html").stat().st_size > 0
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert finished("queue", "report", "bad", "-o", str(pipe)).returncode == 0
    reader.join()
    assert Outline(read[0]).headings[0] == "bad"
    assert pipe.is_fifo()


def test_a_report_beside_downloaded_results_links_to_them(finished: Home, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    assert finished("queue", "results", "bad", "-o", str(folder)).returncode == 0
    file = folder / "report.html"
    assert finished("queue", "report", "bad", "-o", str(file)).returncode == 0
    hrefs = [value for _, name, value in Outline(file.read_text()).attributes if name == "href"]
    files = [value for value in hrefs if not value.startswith("#")]
    assert "./count/stderr.log" in files
    assert all((folder / value).exists() for value in files)
    assert "The links lead to files next to this page" in file.read_text()
    alone = finished("queue", "report", "bad", "-o", "-").stdout
    assert 'href="./' not in alone
    assert "<code>spawn queue results bad</code> downloads them." in alone


def test_a_running_queue_has_a_page_and_an_unknown_queue_has_none(home: Home) -> None:
    file = home.config({"queue_id": "q", "jobs": chain(home, "a", "b")})
    assert home("queue", "run", "-d", file).returncode == 0
    html = home("queue", "report", "q", "-o", "-").stdout
    assert "As of " in html
    assert "waits for a" in html
    assert home("queue", "report", "nobody", "-o", "-").returncode == 3


def test_a_running_job_without_a_runner_is_drawn_up_to_now(home: Home) -> None:
    home.queue(pages.samples.QUEUE_ID).folder.mkdir(parents=True)
    pages.samples.training().write(home.queue(pages.samples.QUEUE_ID).events)
    html = home("queue", "report", pages.samples.QUEUE_ID, "-o", "-").stdout
    assert "; the queue has no runner." in html
    ran = re.search(r'class="bar running" style="left:[\d.]+%;width:([\d.]+)%"', html)
    assert ran is not None
    assert float(ran[1]) > 95, "months of which it waited for an hour"


def test_the_report_of_a_past_moment_shows_the_state_at_that_moment(home: Home) -> None:
    home.queue(pages.samples.QUEUE_ID).folder.mkdir(parents=True)
    pages.failed().write(home.queue(pages.samples.QUEUE_ID).events)
    flags = ["report", pages.samples.QUEUE_ID, "-o", "-", "--at", "2026-01-27T14:20:00"]
    html = home("queue", *flags).stdout
    assert "As of 2026-01-27 14:20:00 PST" in html
    assert "Failures" not in Outline(html).headings


def test_report_and_sheet_agree() -> None:
    sheet = pages.sheet(pages.failed(), pages.moment("15:00:00"))
    assert isinstance(sheet, PageData)
    assert isinstance(sheet.report, Report)
    assert [job.job_id for job in sheet.report.jobs] == list(sheet.timeline.lines)
