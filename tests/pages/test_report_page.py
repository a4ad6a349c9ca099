"""The report in a browser: every control used, with mouse and keyboard."""

from __future__ import annotations

import os
import re

import pytest
from PIL import Image

from aesmamba_sdk import AesMamba
from aesmamba_sdk.pages.assets import read_asset
from tests import toy
from tests.browsing import accessibility_problems, layout_shift, open_tab

pytestmark = pytest.mark.browser

COUNT = 90
ROUNDED = 0.006
"""How far a score shown may be from the exact one: it is kept to 0.001, then shown to 0.01."""
HOSTILE = (
    "<img src=x onerror=alert(1)>.png",
    "\" onmouseover='alert(1)' x=.png",
    "{{ data }}${alert(1)}.png",
    "__proto__.png",
    "a</script><script>alert(1)<!--.png",
    "\u202egnp.exe.png",
)


@pytest.fixture(scope="module")
def place(toy_model, tmp_path_factory):
    """A report for alice, with hostile names and one broken photo, and what it should say."""
    folder = tmp_path_factory.mktemp("report")
    photos = toy.write_photos(folder / "trip", COUNT)
    for photo in photos[::4]:  # a quarter upright
        with Image.open(photo) as image:
            image.rotate(90, expand=True).save(photo)
    if os.name == "posix":
        for photo, name in zip(photos, HOSTILE, strict=False):
            target = photo.parent / name
            target.parent.mkdir(parents=True, exist_ok=True)
            photo.rename(target)
    (folder / "trip" / "zz <b>broken.png").write_text("no photo")
    with AesMamba(toy_model, device="cpu", home=folder / "home") as sdk:
        sdk.users.add("alice")
        rated = toy.write_photos(folder / "rated", 40, seed=1)
        sdk.personalize("alice", toy.write_ratings(rated))
        sdk.report(folder / "trip", folder / "report.html", user="alice", regions=2)
        sdk.report(folder / "trip", folder / "everyone.html", regions=0)
        scores = [s for s in sdk.score_many(folder / "trip", user="alice", attributes=True) if s.ok]
    names = [os.path.relpath(s.path, folder / "trip") for s in scores]
    return folder, dict(zip(names, scores, strict=True))


@pytest.fixture
def report(tab, place):
    tab.goto((place[0] / "report.html").as_uri())
    return tab


def test_only_all_are_100_percent(tab):
    shown = tab.evaluate(
        f"(() => {{ {read_asset('dom.js')}; return [0.5, 0.997, 1].map(percent); }})()"
    )
    assert shown == ["50 %", "99 %", "100 %"]


def first_names(page, count=12):
    """Names on the sheet, in the order of the list."""
    return page.evaluate(
        """(count) => [...document.querySelectorAll("#sheet .cell")]
             .sort((a, b) => a.ariaPosInSet - b.ariaPosInSet).slice(0, count)
             .map((cell) => cell.querySelector(".name").title)""",
        count,
    )


def expected(place, key, *, descending=True, count=12):
    values = {name: round(key(score), 3) for name, score in place[1].items()}
    return [
        values[n] for n in sorted(values, key=lambda n: -values[n] if descending else values[n])
    ][:count], values


def test_every_order_is_the_sdks(report, place):
    fields = {
        "value": lambda s: s.value,
        "generic": lambda s: s.generic,
        "deviation": lambda s: s.std,
        "attribute:color": lambda s: s.attributes["color"],
    }
    assert report.locator("#sort option").evaluate_all("all => all.map((o) => o.value)") == [
        "value",
        "generic",
        "difference",
        "deviation",
        "attribute:color",
        "name",
    ]
    for key, field in fields.items():
        report.select_option("#sort", key)
        wanted, values = expected(place, field)
        assert [values[n] for n in first_names(report)] == pytest.approx(wanted, abs=1e-3)
    report.get_by_role("button", name="High first").click()
    wanted, values = expected(place, fields["attribute:color"], descending=False)
    assert [values[n] for n in first_names(report)] == pytest.approx(wanted, abs=1e-3)
    report.select_option("#sort", "difference")
    wanted, values = expected(place, lambda s: s.value - s.generic)
    assert [values[n] for n in first_names(report)] == pytest.approx(wanted, abs=2e-3)
    report.select_option("#sort", "name")
    report.get_by_role("button", name="A to Z").click()
    numbered = [name for name in first_names(report) if name[:3].isdecimal()]
    assert numbered == [f"{COUNT - 1 - i:03}.png" for i in range(len(numbered))] != []


def test_filters_narrow_add_up_and_are_taken_back(report, place):
    report.fill("#find", "PNG 01")
    wanted = [n for n in place[1] if "png" in n and "01" in n]
    assert sorted(first_names(report, 99)) == sorted(wanted)
    assert report.locator("#count").inner_text() == f"{len(wanted)} of {COUNT} photos"
    report.fill("#find", "nothing is called so")
    assert report.locator("#nothing").is_visible()
    assert report.locator("#highlights").is_hidden()
    report.fill("#find", "")

    report.locator("#low").focus()
    for _ in range(3):
        report.keyboard.press("PageUp")
    low = float(report.locator("#low").input_value())
    kept = [n for n, s in place[1].items() if s.value >= low - 1e-3]
    assert 0 < len(kept) < COUNT
    assert report.locator("#count").inner_text() == f"{len(kept)} of {COUNT} photos"
    report.select_option("#sort", "attribute:color")
    box = report.locator("#histogram svg").bounding_box()
    y = box["y"] + box["height"] / 2
    report.mouse.move(box["x"] + 2, y)
    report.mouse.down()
    report.mouse.move(box["x"] + box["width"] / 2, y)
    report.mouse.up()
    chips = report.locator("#chips button")
    assert chips.count() == 2
    most = float(report.locator("#high").input_value())
    both = [n for n in kept if place[1][n].attributes["color"] <= most + 1e-3]
    assert report.locator("#count").inner_text() == f"{len(both)} of {COUNT} photos"
    chips.first.click()
    chips.first.click()
    assert report.locator("#count").inner_text() == f"{COUNT} photos"


def test_the_keyboard_alone_reaches_every_photo(report):
    report.locator("#size").focus()
    report.keyboard.press("Tab")
    assert report.evaluate("document.activeElement.className") == "tile"
    columns = report.evaluate(
        "new Set([...document.querySelectorAll('.cell')].map((c) => c.style.left)).size"
    )
    position = lambda: report.evaluate("document.activeElement.parentNode.ariaPosInSet")  # noqa: E731
    where = []
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowLeft", "End", "Home"):
        report.keyboard.press(key)
        where.append(int(position()))
    assert where == [2, 2 + columns, 1 + columns, 1, 1, COUNT, 1]
    report.keyboard.press("End")
    assert report.locator(":focus").is_visible()
    assert report.evaluate(
        "document.activeElement.getBoundingClientRect().bottom <= innerHeight + 1"
    )
    report.keyboard.press("Enter")
    assert report.locator("#detail").is_visible()
    report.keyboard.press("ArrowLeft")
    assert report.locator(".detail-top .quiet").inner_text() == f"{COUNT - 1} of {COUNT}"
    report.keyboard.press("Escape")
    assert report.locator("#detail").is_hidden()
    # The focus is on the photo that was shown last, as soon as the dialog's closing is told.
    report.wait_for_function(
        "last => document.activeElement.parentNode.ariaPosInSet == last", arg=COUNT - 1
    )


def test_only_photos_in_view_are_in_the_document(report):
    assert 0 < report.locator(".cell").count() < COUNT
    report.evaluate("scrollTo(0, document.body.scrollHeight)")
    report.wait_for_selector(f".cell[aria-posinset='{COUNT}']")
    before = report.locator(".cell").first.bounding_box()["width"]
    report.select_option("#size", "256")
    report.evaluate("scrollTo(0, 0)")
    report.wait_for_selector(".cell[aria-posinset='2']")
    assert report.locator(".cell").first.bounding_box()["width"] > before


def test_photos_of_any_shape_are_whole(report):
    boxes = report.locator("#sheet .mat, .strip .mat").evaluate_all(
        """mats => mats.map((mat) => {
          const image = mat.firstChild;
          const sides = [mat, image].flatMap((one) => [one.offsetWidth, one.offsetHeight]);
          return [...sides, getComputedStyle(image).objectFit];
        })"""
    )
    assert all((w, h) == (iw, ih) and abs(w - h) <= 1 for w, h, iw, ih, _ in boxes)
    assert {fit for *_, fit in boxes} == {"contain"}


def test_a_photo_is_explained(report, place):
    best = max(place[1], key=lambda n: place[1][n].value)
    report.locator(".strip button").first.click()
    score = place[1][report.locator("#detail-name").inner_text()]
    assert score.value == pytest.approx(place[1][best].value, abs=1e-3)
    text = report.locator(".facts").inner_text()
    match = re.match(
        r"(\d\.\d\d)\n.*± (\d\.\d\d)\n.*everyone.s score\n(\d\.\d\d)\n", text, re.DOTALL
    )
    assert match, text
    exact = score.value, score.std, score.generic
    assert [float(n) for n in match.groups()] == pytest.approx(exact, abs=ROUNDED)
    assert "use of the scale" in text
    report.get_by_role("button", name="Which regions matter").click()
    assert "orange" in report.locator(".large img").get_attribute("alt")
    assert report.evaluate("document.activeElement.id") == "regions"
    assert report.locator("#before").is_disabled()
    report.locator("#after").click()
    assert report.locator("#regions").count() == 0
    assert "2 photos only" in report.locator(".facts").inner_text()
    report.locator("#before").click()
    link = report.get_by_role("link", name="Open the original").get_attribute("href")
    assert link.startswith("./trip/")
    report.get_by_role("button", name="Close").click()
    assert report.locator("#detail").is_hidden()


def test_charts_lead_to_photos_and_orders(report, place):
    report.locator("#attributes button", has_text="color").click()
    assert report.locator("#sort").input_value() == "attribute:color"
    assert report.locator("#attributes button[aria-pressed=true]").count() == 1
    dot = report.evaluate(
        """() => {
          const svg = document.querySelector("#scatter svg");
          const start = svg.querySelector(".dots:not(.out)").getPointAtLength(0);
          const at = start.matrixTransform(svg.getScreenCTM());
          return [at.x, at.y];
        }"""
    )
    report.mouse.move(*dot)
    told = report.locator("#scatter-text").inner_text()
    report.mouse.click(*dot)
    name = report.locator("#detail-name").inner_text()
    match = re.fullmatch(rf"{re.escape(name)}: everyone (\d\.\d\d), alice (\d\.\d\d)", told)
    assert match
    exact = place[1][name].generic, place[1][name].value
    assert [float(n) for n in match.groups()] == pytest.approx(exact, abs=ROUNDED)
    more = sum(s.value > s.generic for s in place[1].values())
    label = report.locator("#scatter svg").get_attribute("aria-label")
    assert f"of {COUNT} photos alice likes {more} more" in label


def test_the_theme_is_the_systems_until_chosen(browser, place):
    with open_tab(browser, color_scheme="dark") as page:
        page.goto((place[0] / "report.html").as_uri())
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(ground)
        page.get_by_role("button", name="Light theme").click()
        light = page.evaluate(ground)
        assert dark != light
        page.reload()
        assert page.evaluate(ground) == light
        page.get_by_role("button", name="Dark theme").click()
        assert page.evaluate(ground) == dark


def test_hostile_names_are_text_and_nothing_is_fetched(report, place):
    asked = []
    report.on("request", lambda request: asked.append(request.url))
    report.reload()
    report.select_option("#sort", "name")
    for name in filter(lambda n: n in place[1], HOSTILE):
        report.fill("#find", name)
        assert name in first_names(report)
        report.locator(".cell button", has=report.get_by_title(name, exact=True)).click()
        assert report.locator("#detail-name").inner_text() == name
        report.keyboard.press("Escape")
    failed = report.locator("#failures li")
    assert failed.count() == 1
    assert "zz <b>broken.png" in failed.inner_text()
    assert report.locator("main script, #sheet b b, [onerror], [onmouseover]").count() == 0
    assert [url for url in asked if not url.startswith("data:")] == [report.url]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_it_fits_is_still_and_accessible(browser, place, scheme, width):
    size = {"width": width, "height": 800}
    with open_tab(browser, color_scheme=scheme, viewport=size) as page:
        page.goto((place[0] / "report.html").as_uri())
        assert layout_shift(page) == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert accessibility_problems(page) == []
        if width < 900:
            page.locator("summary").click()
            assert page.locator("#histogram").is_visible()
        page.locator(".cell button").first.click()
        assert accessibility_problems(page) == []


def test_nobodys_report_has_no_personal_parts(tab, place):
    tab.goto((place[0] / "everyone.html").as_uri())
    assert tab.locator("#sort option").all_inner_texts() == ["Score", "color", "Name"]
    assert tab.locator("#scatter-section, #likes-section").evaluate_all(
        "all => all.every((section) => section.hidden)"
    )
    tab.locator(".cell button").first.click()
    assert "was not computed" in tab.locator(".facts").inner_text()
