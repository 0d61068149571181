"""The report in a real browser: interaction and accessibility."""

import re
import shutil
from pathlib import Path
from urllib.parse import urlparse

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the path, e.g. apt-get install chromium"),
]

SIZES = {"wide": (1600, 1000), "narrow": (390, 844)}


@pytest.fixture(scope="module")
def address(finished_study) -> str:
    return (finished_study.folder / "results/tiny/report/index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser):
    """Open an address; what the page loads or complains about is in ``page.requests`` and ``page.complaints``."""
    contexts = []

    def opened(address: str, size: str = "wide", **options) -> Page:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.requests, page.complaints = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(address)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()


def column(page: Page, table: str, number: int) -> list[str]:
    """Texts of a column of the table with this class, as they stand on the page, hidden rows left out."""
    cells = page.locator(f"table.{table} tbody:not(.gone):not(.filtered) tr:not(.seed) > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_loaded_nothing_complains_and_axe_finds_nothing(open_page, address, size, theme):
    page = open_page(address, size, color_scheme=theme)
    page.evaluate("for (const part of document.querySelectorAll('main details')) part.open = true")
    for toggle in page.locator("figure .tools [aria-expanded]").all()[:2]:
        toggle.click()
    violations = Axe().run(page)
    assert violations.violations_count == 0, violations.generate_report()
    wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wider <= 0, "the page scrolls sideways"
    outside = [url for url in page.requests if not url.startswith(("data:", "blob:"))]
    assert outside == [address]
    assert page.complaints == []


def test_every_figure_of_a_finished_study_has_its_numbers_and_says_how_to_read_it(open_page, address):
    page = open_page(address)
    lacking = page.evaluate(
        """() => [...document.querySelectorAll("figure[id]")].filter((figure) =>
            !figure.querySelector("details.reading p") || !figure.querySelector("template, .file")).map((f) => f.id)"""
    )
    assert lacking == []
    assert page.locator("figure[id]").count() > 20


def test_no_row_of_figures_is_half_empty_and_words_stand_beside_a_figure_that_has_a_row(open_page, address):
    """Half of a wide page was empty beside single figures."""
    page = open_page(address)
    filled = page.evaluate(
        """() => [...document.querySelectorAll("main .figures")].filter((row) => row.offsetWidth).flatMap((row) => {
            const widths = new Map();
            for (const f of row.children) widths.set(f.offsetTop, (widths.get(f.offsetTop) || 0) + f.offsetWidth);
            return [...widths.values()].map((width) => width / row.offsetWidth);
        })"""
    )
    assert len(filled) > 8 and min(filled) > 0.95
    beside = page.evaluate(
        """() => [...document.querySelectorAll("figure.across")].filter((f) => f.offsetWidth).map((f) =>
            f.querySelector("figcaption").getBoundingClientRect().left >=
            f.firstElementChild.getBoundingClientRect().right && f.querySelector(".reading").open)"""
    )
    assert len(beside) > 3 and all(beside)


def test_a_link_to_numbers_that_are_folded_opens_them(open_page, address):
    page = open_page(address)
    folded = page.locator("details[id^='fits-']")
    assert not folded.evaluate("(part) => part.open")
    page.locator(".findings-table a[href^='#fits-']").click()
    expect(folded).to_have_attribute("open", "")


def test_without_javascript_everything_is_readable(open_page, address):
    page = open_page(address, java_script_enabled=False)
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("table.main")).to_be_visible()
    assert page.locator("main button").count() == 0
    assert page.locator("svg.chart").first.bounding_box()["height"] > 100
    assert page.locator(".mark title").count() > 10
    page.locator("table.main summary").first.click()
    expect(page.locator("table.main tr.seed").first).to_be_visible()


def test_a_table_is_sorted_by_its_heading_and_put_back(open_page, address):
    page = open_page(address)
    head = page.locator("table.main thead th", has_text="Parameters")
    before = column(page, "main", 2)
    numbers = sorted((int(text.replace(",", "")) for text in before), reverse=True)
    head.get_by_role("button").click()
    assert [int(text.replace(",", "")) for text in column(page, "main", 2)] == numbers
    expect(head).to_have_attribute("aria-sort", "descending")
    head.get_by_role("button").press("Enter")
    assert [int(text.replace(",", "")) for text in column(page, "main", 2)] == numbers[::-1]
    head.get_by_role("button").click()
    assert column(page, "main", 2) == before
    assert head.get_attribute("aria-sort") is None


def test_a_row_opens_to_every_seed(open_page, address):
    page = open_page(address)
    assert page.locator("table.main tr.seed:visible").count() == 0
    page.locator("table.main summary").first.press("Enter")
    assert page.locator("table.main tr.seed:visible").count() == 3


def test_a_variant_is_hidden_in_every_figure_and_table_at_once(open_page, address):
    page = open_page(address)
    followers = page.locator('main [data-variant="dense"]')
    assert page.locator('svg.chart [data-variant="dense"]').count() > 5
    chip = page.locator(".legend").get_by_role("button", name="dense")
    expect(page.get_by_role("button", name="Show all")).to_be_hidden()
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    assert all(not element.is_visible() for element in followers.all())
    assert "dense" not in " ".join(column(page, "main", 1))
    page.get_by_role("button", name="Show all").click()
    assert followers.first.is_visible()


def test_the_address_brings_back_what_was_chosen(open_page, address):
    page = open_page(address)
    page.locator(".legend").get_by_role("button", name="dense").click()
    page.locator("table.main thead th", has_text="Parameters").get_by_role("button").click()
    page.locator("nav a[href='#design']").click()
    link = page.evaluate("location.href")
    assert re.search(r"#design\?hide=dense&sort=\d+\.1\.down$", link)
    again = open_page(link)
    expect(again.locator(".legend").get_by_role("button", name="dense")).to_have_attribute("aria-pressed", "false")
    numbers = [int(text.replace(",", "")) for text in column(again, "main", 2)]
    assert numbers == sorted(numbers, reverse=True)
    assert again.locator("#design").bounding_box()["y"] < 200, "the section is not in view"


def test_an_address_with_nonsense_does_no_harm(open_page, address):
    page = open_page(f"{address}#<img src=x>?hide=nobody&sort=99.99.down&sort=x&filter=99.a&filter=.")
    assert page.complaints == []
    expect(page.locator("table.main")).to_be_visible()


def test_rows_are_filtered_as_one_types(open_page, address):
    page = open_page(address)
    page.evaluate("for (const part of document.querySelectorAll('main details')) part.open = true")
    box = page.get_by_role("searchbox").first
    table = page.locator(".tools:has(input) + .scroll table").first
    rows = table.locator("tbody tr")
    assert rows.count() > 8
    box.fill("3")
    shown = [row for row in rows.all() if row.is_visible()]
    assert 0 < len(shown) < rows.count()
    assert all("3" in row.inner_text() for row in shown)
    expect(page.get_by_role("status").first).to_contain_text(f"{len(shown)} of {rows.count()} rows")


@pytest.mark.parametrize(("name", "begins", "row"), [
    ("CSV", "Variant,Parameters,MACs", r"^dense,\d+,|^dense,\"\d+,"),
    ("Markdown", "| Variant | Parameters | MACs", r"^\| dense \| "),
    ("LaTeX", "\\begin{tabular}{lrrrr", r"^dense & .*\\\\$"),
])  # fmt: skip
def test_a_table_is_copied_for_a_paper(open_page, address, name, begins, row):
    page = open_page(address, permissions=["clipboard-read", "clipboard-write"])
    page.locator(".tools:has(+ .scroll table.main)").get_by_role("button", name=name).click()
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.startswith(begins)
    assert re.search(row, text, re.MULTILINE)
    assert "seed 1" not in text


def test_a_figure_gives_its_numbers_and_its_drawing(open_page, address):
    page = open_page(address)
    figure = page.locator("#variants figure").first
    figure.get_by_role("button", name="Numbers").click()
    table = figure.locator(".numbers table")
    assert table.locator("tbody tr").count() == 9
    with page.expect_download() as csv:
        figure.get_by_role("button", name="Download CSV").click()
    content = csv.value.path().read_text()
    assert content.startswith("variant,seed,val_accuracy,test_accuracy")
    assert csv.value.suggested_filename == "digits-accuracy.csv"
    with page.expect_download() as svg:
        figure.get_by_role("button", name="Download SVG").click()
    drawing = svg.value.path().read_text()
    assert "var(--" not in drawing
    assert "<title>" in drawing
    alone = open_page(svg.value.path().rename(svg.value.path().with_suffix(".svg")).as_uri(), java_script_enabled=False)
    assert alone.locator("svg").bounding_box()["width"] > 300


def test_pointing_at_a_seed_tells_its_value(open_page, address):
    page = open_page(address)
    point = page.locator('#variants svg [data-note*="seed 2"]').first
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    expect(page.locator(".tip")).to_have_text(re.compile(r", seed 2: \d+\.\d\d %"))


def test_the_theme_can_be_chosen(open_page, address):
    page = open_page(address, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    toggle = page.locator("button.theme")
    toggle.click()
    toggle.click()
    expect(toggle).to_have_text("Theme: dark")
    assert page.evaluate(ground) != light
    page.reload()
    expect(page.locator("button.theme")).to_have_text("Theme: dark")


def test_the_keyboard_reaches_what_the_mouse_does(open_page, address):
    page = open_page(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    kinds = "main button, main summary, main input, main a[href], .scroll[tabindex='0'], nav button, nav a"
    assert page.evaluate(f"""[...document.querySelectorAll("{kinds}")].every((e) => e.tabIndex >= 0)""")


def test_printing_opens_what_is_folded_and_hides_controls(open_page, address, tmp_path):
    page = open_page(address)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("main details:not([open]):not(table details)").count() == 0
    assert all(not tools.is_visible() for tools in page.locator(".tools").all())
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    printed = page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 4


def test_a_stray_percent_in_the_address_does_no_harm(open_page, address):
    for fragment in ("#%", "#%zz?hide=cnn", "#a%2"):
        page = open_page(f"{address}{fragment}")
        assert page.complaints == []
        assert page.locator("button.theme").count() == 1  # the script went to its end


JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"
"""What Jenkins sends with archived pages."""


def test_charts_can_be_read_where_a_server_forbids_styles(browser, address):
    """Charts keep their colours and lines as attributes; before, each was a black rectangle."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    page = context.new_page()
    body = Path(urlparse(address).path).read_bytes()
    headers = {"content-security-policy": JENKINS, "content-type": "text/html; charset=utf-8"}
    page.route("**/*", lambda route: route.fulfill(status=200, headers=headers, body=body))
    page.goto("http://jenkins.example/report/index.html")
    assert page.evaluate("getComputedStyle(document.body).display") == "block", "the policy is in force"
    colours = page.evaluate(
        """() => [...document.querySelectorAll("svg.chart")].map((chart) => {
            const parts = [...chart.querySelectorAll("path, use, line, rect, text")];
            const styles = parts.map((part) => getComputedStyle(part));
            return new Set(styles.flatMap((style) => [style.fill, style.stroke])).size;
        })"""
    )
    assert colours and min(colours) >= 4
    papers = page.evaluate(
        """() => [...document.querySelectorAll("svg.chart")].map((chart) =>
            getComputedStyle(chart.querySelector("path")).fill)"""
    )
    assert set(papers) == {"rgb(254, 254, 254)"}
    bars = page.locator("svg.interval circle").first
    assert bars.evaluate("(dot) => getComputedStyle(dot).fill") == "rgb(26, 86, 176)"
    context.close()


def test_what_is_copied_is_no_formula_and_a_confusion_has_one_value_in_a_cell(open_page, address):
    page = open_page(address)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """() => { const cells = document.querySelectorAll("table.main tbody th summary");
            cells[0].firstChild.textContent = '=HYPERLINK("x")'; cells[1].firstChild.textContent = "+1.31"; }"""
    )
    page.locator(".tools:has(+ .scroll > table.main) button", has_text="CSV").first.click()
    lines = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert lines[1].startswith("\"'=HYPERLINK(")
    assert lines[2].startswith("+1.31,") or lines[2].startswith("\"'+1.31,")
    page.locator("details.panel:has(table.matrix)").first.evaluate("(panel) => { panel.open = true; }")
    page.locator(".tools:has(+ .scroll > table.matrix) button", has_text="CSV").first.click()
    cells = [cell for line in page.evaluate("navigator.clipboard.readText()").split("\n")[1:-1]
             for cell in line.split(",")[1:]]  # fmt: skip
    assert len(cells) == 100 and all(re.fullmatch(r"\d+\.\d|–", cell) for cell in cells)
