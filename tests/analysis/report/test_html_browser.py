"""report.html in a real Chromium without a window, if there is one: it loads, obeys, and stays harmless."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from analysis_lab import BENCHMARK, Root
from html_lab import HOSTILE, pictured

from agrae_lab.runs import list_experiments
from analysis.__main__ import evaluate
from analysis.figures import find, passk
from analysis.io.study import load_study
from analysis.presentation.render import render, render_table
from analysis.report import html
from analysis.report.html.completions import sample_completions
from analysis.report.result import Result
from analysis.tables import main as table_main

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver (Debian: chromium, chromium-driver)"
)
ATTACKS = [*HOSTILE[:6], "<b>bold</b>", "needle in \u202ethe hay", "&amp;", "the İ needle"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all its parts, whose GRPO completions are attacks."""
    root = Root(tmp_path_factory.mktemp("runs"), num_problems=30, num_samples=32)
    grpo, other = root.run("grpo"), root.run("a_grae")
    for path in (grpo.samples_path(BENCHMARK), *grpo.rollout_paths()):
        frame = pd.read_parquet(path)
        frame["completion"] = [ATTACKS[i % len(ATTACKS)] for i in range(len(frame))]
        frame.to_parquet(path)
    frame = pd.read_parquet(path := other.samples_path(BENCHMARK))
    long = ["word " * 2000 + f"the end {i}" for i in range(len(frame))]
    frame.assign(completion=long, valid=np.arange(len(frame)) % 3 > 0, answer=HOSTILE[2]).to_parquet(path)
    root.experiment("x", [grpo, other], question=f"Which arm? {HOSTILE[0]}")
    study = load_study(root.path, list_experiments(root.path)[0])
    folder = tmp_path_factory.mktemp("report")
    result = evaluate(study)
    result.figures = [render(module, study, folder) for module in (find("entropy"), passk)]
    result.tables = [render_table(table_main, study, folder)]
    path = folder / "report.html"
    path.write_text(html.report_page(result, sample_completions(study), folder), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pictured_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a task with pictures; the id of one problem is an attack."""
    root = Root(tmp_path_factory.mktemp("pictured"), num_problems=12, num_samples=8)
    root.experiment("x", [pictured(root, "grpo", like_last=HOSTILE[2])])
    study = load_study(root.path, list_experiments(root.path)[0])
    path = tmp_path_factory.mktemp("report") / "report.html"
    page = html.report_page(Result(study), sample_completions(study), path.parent)
    path.write_text(page, encoding="utf-8")
    return path


class Browser:
    """A page that is open, and what it has asked for and complained of since."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver, self.url = driver, url

    def open(self) -> None:
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(self.url)

    def prefer(self, scheme: str) -> None:
        """Set the system's preference: light or dark."""
        wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)

    def run(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def text(self, selector: str) -> str:
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def texts(self, selector: str) -> list[str]:
        return self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector)

    def wait(self, code: str) -> None:
        """Until the expression holds."""
        end = time.monotonic() + 10
        while not self.run(f"return Boolean({code})"):
            assert time.monotonic() < end, f"never: {code}"
            time.sleep(0.02)

    def choose(self, **values: str) -> int:
        """Set filters as a user does, the others to what shows all; returns the number of completions found."""
        self.driver.execute_async_script(
            "const [values, done] = arguments, form = document.getElementById('filters'); form.reset();"
            "for (const [name, value] of Object.entries(values)) {"
            "  const field = form.elements[name];"
            "  const option = [...(field.options ?? [])].find((o) => o.textContent === value);"
            "  field.value = option ? option.value : value;"
            "  field.dispatchEvent(new Event('input', { bubbles: true })); }"
            "setTimeout(done, 130);",  # timers of one page keep their order, and the page waits 120 ms for more typing
            values,
        )
        return int(self.text("#count").split()[0].replace(",", ""))

    def send(self, keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(keys)

    def requests(self) -> list[str]:
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for word in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
        options.add_argument(word)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium refuses to run as root with it
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    driver.set_window_size(1300, 900)
    yield driver
    driver.quit()


@pytest.fixture
def browser(driver: Any, report: Path) -> Browser:
    browser = Browser(driver, report.as_uri())
    browser.prefer("light")
    browser.open()
    return browser


def test_it_loads_without_a_complaint_or_a_request(browser: Browser) -> None:
    browser.wait("document.querySelectorAll('#found li').length === 20")
    assert browser.complaints() == []
    outside = [url for url in browser.requests() if not url.startswith(("data:", browser.url))]
    assert outside == []
    assert browser.run("return [...document.images].filter((i) => i.src).every((i) => i.naturalWidth > 0)")


def test_the_answer_is_what_one_sees_first_and_the_claims_are_folded(browser: Browser) -> None:
    order = browser.run("return [...document.querySelectorAll('h1, h2')].map((h) => h.textContent)")
    assert order[0] == f"Which arm? {HOSTILE[0]}"
    assert order[1].startswith("The paper's claims: C1")
    assert browser.run("return document.querySelector('.answer').getBoundingClientRect().bottom < innerHeight")
    assert " − GRPO at k = 1: " in browser.text(".answer")
    assert browser.run("return document.querySelector('.verdict').checkVisibility()") is False
    browser.run("document.querySelector('details.claims').open = true")
    first = browser.text(".verdict")
    for words in ("GRPO raises Pass@1", "undecided", "pp [", "Would change it"):
        assert words in first


def test_hostile_completions_stay_text(browser: Browser) -> None:
    elements = browser.run("return document.querySelectorAll('*').length")
    for attack in ATTACKS[:4]:
        assert browser.choose(arm="GRPO", text=attack) > 0
        assert attack in browser.texts("#found pre")
    assert browser.choose(arm="GRPO", text="<b>") > 0
    assert set(browser.texts("#found pre")) == {"<b>bold</b>"}
    made = browser.run("return [...new Set([...document.querySelectorAll('#found *')].map((e) => e.localName))].sort()")
    assert set(made) <= {"li", "div", "span", "button", "bdi", "pre", "mark"}
    assert browser.run("return window.hacked") is None
    assert browser.run("return document.querySelectorAll('script').length") == 2
    assert browser.run("return document.querySelectorAll('*').length") <= elements + 20 * 3  # marks
    assert browser.complaints() == []  # a dialog would have made every command fail


def test_what_cannot_be_seen_is_shown_by_its_number(browser: Browser) -> None:
    browser.choose(arm="GRPO", text="the hay")
    assert browser.texts("#found pre")[0] == "needle in U+202Ethe hay"
    assert browser.text("#found .invisible") == "U+202E"
    browser.choose(arm="GRPO", text="\u2028")
    assert browser.texts("#found pre")[0] == "U+2028U+2029U+202EU+0000U+001B[31mU+FEFF"


def test_the_policy_stops_what_would_get_in(browser: Browser) -> None:
    browser.run(
        "const made = document.createElement('script'); made.textContent = 'window.hacked = 1';"
        "document.body.append(made); document.body.setAttribute('onclick', 'window.hacked = 2'); document.body.click();"
    )
    assert browser.run("return window.hacked") is None
    answer = browser.driver.execute_async_script(
        "const done = arguments[0]; fetch('data:text/plain,x').then(() => done('sent'), () => done('refused'))"
    )
    assert answer == "refused"
    assert len([text for text in browser.complaints() if "Content Security Policy" in text]) >= 3


def test_filters_find_what_the_record_holds(browser: Browser) -> None:
    data = browser.run("return JSON.parse(document.getElementById('data').textContent)")
    arm, source = data["arms"].index("A-GRAE"), data["sources"].index(f"{BENCHMARK}, sampled")
    rows = list(zip(data["arm"], data["source"], data["outcome"], data["step"], strict=True))
    assert browser.choose() == len(rows)
    assert browser.choose(arm="A-GRAE") == sum(a == arm for a, *_ in rows)
    assert browser.choose(source=f"{BENCHMARK}, sampled", outcome="invalid") == sum(
        s == source and o == "invalid" for _, s, o, _ in rows
    )
    assert browser.choose(step="2") == sum(step == 2 for *_, step in rows)
    assert browser.choose(arm="GRPO", source=f"{BENCHMARK}, greedy") == 30
    assert browser.text("#count").startswith("30 found, among the 30 shown of 30 recorded")
    assert browser.choose(prompt="problem-003") == data["prompt"].count("problem-003")
    assert browser.choose(text="no such thing") == 0
    assert browser.texts("#found li") == []
    options = browser.texts('#filters [name="outcome"] option')
    assert options == ["all", "right", "wrong", "invalid"]


def test_a_click_on_a_prompt_keeps_it_alone(browser: Browser) -> None:
    prompt = browser.texts("#found .prompt")[0]
    browser.run("document.querySelector('#found .prompt').click()")
    assert set(browser.texts("#found .prompt")) == {prompt}


def test_pages_are_turned(browser: Browser) -> None:
    total = browser.choose(arm="A-GRAE")
    first = browser.texts("#found li")
    assert browser.text("#place") == f"1–20 of {total}"
    assert browser.run("return document.getElementById('previous').disabled")
    browser.run("document.getElementById('next').click()")
    assert browser.text("#place") == f"21–40 of {total}"
    assert browser.run("return document.getElementById('found').start") == 21
    browser.run("document.getElementById('previous').click()")
    assert browser.texts("#found li") == first
    browser.run("document.getElementById('next').click()")
    browser.choose(arm="A-GRAE")
    assert browser.texts("#found li") == first  # what is newly found is shown from its beginning
    for _ in range(-(-total // 20) - 1):
        browser.run("document.getElementById('next').click()")
    assert browser.text("#place").endswith(f"–{total} of {total}")
    assert browser.run("return document.getElementById('next').disabled")


def test_a_search_is_marked_and_reaches_the_end_of_a_long_completion(browser: Browser) -> None:
    assert browser.choose(arm="A-GRAE", text="THE END") > 0
    assert set(browser.texts("#found mark")) == {"the end"}
    assert "characters left out" in browser.texts("#found pre")[0]
    assert browser.choose(arm="GRPO", text="needle") > 0  # İ is two letters when small: found, if not marked


def test_light_and_dark(browser: Browser) -> None:
    def looks() -> tuple[str, str, list[str]]:
        return tuple(
            browser.run(
                "return [getComputedStyle(document.body).backgroundColor, document.getElementById('theme').textContent,"
                "[...document.querySelectorAll('.zoom img')].filter((i) => i.offsetParent).map((i) => i.className)]"
            )
        )

    light = ("rgb(255, 255, 255)", "Dark", ["light", "light"])
    dark = ("rgb(20, 23, 26)", "Light", ["dark", "dark"])
    assert looks() == light
    browser.prefer("dark")
    browser.wait("document.getElementById('theme').textContent === 'Light'")
    assert looks() == dark
    browser.run("document.getElementById('theme').click()")
    assert looks() == light
    browser.prefer("light")
    assert looks() == light
    browser.run("document.getElementById('theme').click()")
    assert looks() == dark
    assert browser.run("return document.getElementById('theme').getAttribute('aria-pressed')") == "true"


def test_a_figure_is_enlarged_zoomed_moved_and_closed_by_keys_alone(browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    transform = "return document.querySelector('.stage img').style.transform"
    browser.run("document.querySelector('#figure-passk .zoom').focus()")
    browser.send(Keys.ENTER)
    browser.wait("document.getElementById('lightbox').open")
    shown, small = browser.run(
        "return [document.querySelector('.stage img').src, document.querySelector('#figure-passk img.light').src]"
    )
    assert shown == small
    assert browser.run(transform) == "translate(0px, 0px) scale(1)"
    browser.send("+")
    assert browser.run(transform) == "translate(0px, 0px) scale(1.5)"
    browser.run("document.activeElement.blur()")  # as after a click on the figure
    browser.send(Keys.ARROW_LEFT)
    assert browser.run(transform) == "translate(60px, 0px) scale(1.5)"
    browser.send("0")
    assert browser.run(transform) == "translate(0px, 0px) scale(1)"
    browser.send(Keys.ESCAPE)
    browser.wait("!document.getElementById('lightbox').open")
    assert browser.run("return document.activeElement.className") == "zoom"


def test_the_wheel_zooms_about_the_pointer(browser: Browser) -> None:
    browser.run("document.querySelector('#figure-entropy .zoom').click()")
    place = browser.run(
        "const stage = document.querySelector('.stage'), box = stage.getBoundingClientRect();"
        "const at = { clientX: box.left + box.width / 2 + 100, clientY: box.top + box.height / 2 };"
        "stage.dispatchEvent(new WheelEvent('wheel', { deltaY: -400 * Math.log(2), cancelable: true, ...at }));"
        "return document.querySelector('.stage img').style.transform"
    )
    x, _, scale = (float(part) for part in place.replace("px", "").replace("translate(", "").replace(
        ") scale(", ",").rstrip(")").split(","))  # fmt: skip
    assert (round(x), round(scale, 6)) == (-100, 2)  # what was 100 px right of the middle still is


def test_tables_sort_by_value_in_their_blocks(browser: Browser) -> None:
    head = "#table-table_main thead tr:last-child th:nth-child(2) button"
    values = "#table-table_main tbody tr:not(.block) td:nth-child(2) .value"
    recorded = [float(text) for text in browser.texts(values)]
    for direction in ("descending", "ascending"):
        browser.run("document.querySelector(arguments[0]).click()", head)
        shown = [float(text) for text in browser.texts(values)]
        assert shown == sorted(recorded, reverse=direction == "descending")
        assert browser.run("return document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == direction
    first = browser.texts("#table-table_main tbody tr")[0]
    assert BENCHMARK in first  # a block's title stays above it


@pytest.mark.parametrize("width", [360, 1000])
def test_a_narrow_window_does_not_scroll_sideways(browser: Browser, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert browser.run("return document.documentElement.scrollWidth") <= width
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_record_of_a_large_study_stays_quick_to_use(browser: Browser, new_root: Callable, tmp_path: Path) -> None:
    """Twenty thousand completions: only a page of them is in the document."""
    data = browser.run("return JSON.parse(document.getElementById('data').textContent)")
    columns = [name for name in data if name not in ("arms", "sources", "cells", "images")]
    times = -(-20_000 // len(data["arm"]))
    large = data | {name: data[name] * times for name in columns}
    for name in ("start", "end"):
        large[name] = [text[:200] for text in large[name]]
    text = Path(browser.url.removeprefix("file://")).read_text(encoding="utf-8")
    before, opening, rest = text.partition('<script type="application/json" id="data">')
    page = tmp_path / "large.html"
    page.write_text(before + opening + str(html.embed.json_for_script(large)) + rest[rest.index("</script>") :])
    Browser(browser.driver, page.as_uri()).open()
    assert browser.choose() == len(large["arm"])
    assert browser.choose(arm="GRPO", text="bold") == times * sum(
        data["arms"][arm] == "GRPO" and "bold" in start for arm, start in zip(data["arm"], data["start"], strict=True)
    )
    assert browser.run("return document.querySelectorAll('#found li').length") == 20
    assert browser.complaints() == []


def test_the_picture_of_a_problem_stands_beside_its_completions(browser: Browser, pictured_report: Path) -> None:
    page = Browser(browser.driver, pictured_report.as_uri())
    page.open()
    found = (
        "return [...document.querySelectorAll('#found li')].map((li) => [li.querySelector('.prompt').textContent,"
        "  [...li.querySelectorAll('img')].map((i) => [i.naturalWidth, i.naturalHeight, i.alt])])"
    )
    alt = "image of the problem"
    for prompt, pictures in ((HOSTILE[2], [[4, 3, alt], [5, 5, alt]]), ("problem-003", [[4, 3, alt]])):
        assert page.choose(prompt=prompt) > 0
        page.wait("[...document.querySelectorAll('#found img')].every((i) => i.complete)")
        assert [row for row in page.run(found) if row != [prompt, pictures]] == []
    assert page.choose(source="training") > 0
    page.wait("[...document.querySelectorAll('#found img')].every((i) => i.complete && i.naturalWidth === 4)")
    assert len(page.run(found)) == page.run("return document.querySelectorAll('#found img').length") == 20
    assert page.run("return window.hacked") is None
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith(("data:", page.url))] == []
    at = "return [...document.querySelectorAll('#found li')].map((li) => {"
    at += "  const box = (name) => li.querySelector(name).getBoundingClientRect();"
    at += "  return box('img').right <= box('pre').left })"
    assert set(page.run(at)) == {True}
