"""The rating page in a browser: every control used, with keys, mouse and touch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from aesmamba_sdk.rate.session import OFFERED, RatingSession
from tests import toy
from tests.browsing import accessibility_problems, layout_shift, open_tab
from tests.rate.serving import served

pytestmark = pytest.mark.browser

COUNT = 36
HOSTILE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture
def session(sdk, tmp_path):
    photos = toy.write_photos(tmp_path / "trip", COUNT)
    photos[0].rename(photos[0].parent / HOSTILE)
    sdk.users.add("alice")
    return RatingSession(sdk, "alice", [str(tmp_path / "trip")])


@pytest.fixture
def address(session):
    with served(session) as found:
        yield found


@pytest.fixture
def page(tab, address):
    tab.goto(address)
    tab.wait_for_selector(".photo img")
    return tab


def shown(page):
    return page.locator("#name").inner_text()


def names(session):
    return [session.path(i).rpartition("/")[2] for i in session.offered()]


def stars(path):
    return round(1 + 4 * toy.brightness(path))


def rate_all(session):
    for photo in session.offered():
        session.rate(photo, stars(session.path(photo)))


def test_keys_rate_move_skip_and_undo(page, session):
    offered = names(session)
    assert shown(page) == offered[0]
    for key in "352":
        page.keyboard.press(key)
    assert shown(page) == offered[3]
    expect(page.locator("#told")).to_have_text(f"3 of {OFFERED} rated · kept 2")
    kept = session.ratings()
    assert [kept[i] for i in session.offered()[:3]] == [3, 5, 2]

    page.keyboard.press("ArrowLeft")
    assert shown(page) == offered[2]
    expect(page.locator("#stars [aria-pressed=true]")).to_have_attribute("data-score", "2")
    page.keyboard.press("4")
    expect(page.locator("#told")).to_contain_text("kept 4")
    assert session.ratings()[session.offered()[2]] == 4
    page.keyboard.press("s")
    assert shown(page) == offered[4]
    page.keyboard.press("ArrowLeft")
    assert shown(page) == offered[2], "a skipped photo is passed over"
    page.keyboard.press("u")
    assert shown(page) == offered[3], "the skipped one is back"
    page.keyboard.press("Control+z")
    assert shown(page) == offered[2]
    page.keyboard.press("Backspace")
    expect(page.locator("#told")).to_have_text(f"2 of {OFFERED} rated · taken back")
    assert set(session.ratings()) == set(session.offered()[:2])
    page.keyboard.press("Alt+5")
    page.keyboard.press("7")
    assert shown(page) == offered[2]


def test_a_key_held_down_rates_one_photo(page, session):
    for _ in range(4):
        page.keyboard.down("5")
    page.keyboard.up("5")
    expect(page.locator("#told")).to_have_text(f"1 of {OFFERED} rated · kept 5")
    assert len(session.ratings()) == 1


def test_mouse_and_touch_do_the_same(page, session):
    offered = names(session)
    page.get_by_role("button", name="4, good").click()
    page.get_by_role("button", name="Next photo").click()
    assert shown(page) == offered[2]
    page.get_by_role("button", name="Photo before").click()
    page.get_by_role("button", name="Skip").click()
    page.get_by_role("button", name="Undo").click()
    assert shown(page) == offered[1]
    box = page.locator("#stage").bounding_box()
    middle, y = box["x"] + box["width"] / 2, box["y"] + 100
    for far, expected in ((-120, offered[2]), (120, offered[1]), (30, offered[1])):
        page.mouse.move(middle, y)
        page.mouse.down()
        page.mouse.move(middle + far, y)
        page.mouse.up()
        assert shown(page) == expected
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    expect(page.locator("#told")).to_have_text(f"0 of {OFFERED} rated · taken back")
    assert session.ratings() == {}


def test_the_next_photos_are_fetched_before_they_are_wanted(tab, address, session):
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(address)
    tab.wait_for_selector(".photo img")
    tab.wait_for_timeout(100)
    first = [f"{address}photo/{i}/large" for i in session.offered()[:4]]
    assert [url in asked for url in first] == [True, True, True, False]
    assert all(url.startswith((address, "data:")) for url in asked)
    tab.keyboard.press("3")
    tab.wait_for_selector(".photo img")
    tab.wait_for_timeout(100)
    assert asked.count(first[1]) <= 2  # the second time from the browser's cache


def test_going_on_after_the_page_was_closed(page, session):
    for key in "12":
        page.keyboard.press(key)
    expect(page.locator("#told")).to_contain_text("kept 2")
    page.reload()
    page.wait_for_selector(".photo img")
    assert shown(page) == names(session)[2]
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#stars [aria-pressed=true]")).to_have_attribute("data-score", "2")


def test_what_was_not_saved_is_said_and_shown_as_unrated(browser, address, session):
    first = session.path(session.offered()[0])
    with open_tab(browser, expected="409") as page:
        page.goto(address)
        page.wait_for_selector(".photo img")
        Path(first).unlink()
        page.keyboard.press("4")
        expect(page.get_by_role("alert")).to_contain_text("was not saved")
        expect(page.get_by_role("alert")).to_contain_text("does not exist")
        page.keyboard.press("ArrowLeft")
        assert page.locator("#stars [aria-pressed=true]").count() == 0
        expect(page.get_by_role("button", name="Undo")).to_be_disabled()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("5")
        expect(page.get_by_role("alert")).to_be_hidden()


def test_after_the_last_photo_the_page_says_so(page, session):
    assert COUNT > OFFERED, "more are offered on the way"
    for _ in range(COUNT - 1):
        before = shown(page)
        page.keyboard.press("s")
        page.wait_for_function(
            "before => document.getElementById('name').textContent !== before", arg=before
        )
    page.keyboard.press("2")
    expect(page.locator("#end")).to_be_visible()
    expect(page.locator("#end-text")).to_contain_text("1 photo rated here")
    expect(page.get_by_role("button", name="Learn my taste")).to_be_disabled()
    page.get_by_role("button", name="Go back").click()
    expect(page.locator("#stars [aria-pressed=true]")).to_have_attribute("data-score", "2")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#end")).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator("#told")).to_contain_text("taken back")
    assert page.locator("#rating").is_visible()


def test_learning_shows_the_new_order_beside_the_old(page, session, sdk):
    everyone = [s.path.rpartition("/")[2] for s in sdk.rank(session.photos)]
    rate_all(session)
    page.reload()
    expect(page.locator("#told")).to_contain_text("30 rated, enough to learn from")
    page.get_by_role("button", name="Learn my taste").click()
    title = page.locator("#ranking-title")
    expect(title).to_have_text(f"Learned from {OFFERED} ratings of alice")
    expect(title).to_be_focused()
    ranked = sdk.rank(session.photos, user="alice")
    now = [s.path.rpartition("/")[2] for s in ranked]

    def labels(selector):
        found = page.locator(selector).evaluate_all("all => all.map((b) => b.ariaLabel)")
        return [label.rpartition(", ")[0] for label in found]

    assert labels(".strip:nth-child(1) button") == everyone[:8]
    assert labels(".strip:nth-child(2) button") == now[:8]
    assert page.locator(".strip h3").all_inner_texts() == ["Best before, for everyone", "Best now"]
    report = session.learning.result.report
    assert f"agrees with yours at {report.srcc:.2f}" in page.locator("#ranking-text").inner_text()
    for i in range(3):
        label = page.locator(f".cell[aria-posinset='{i + 1}'] button").get_attribute("aria-label")
        up = everyone.index(now[i]) - i
        way = "same place" if up == 0 else f"{'up' if up > 0 else 'down'} {abs(up)}"
        assert label == f"{now[i]}, score {ranked[i].value:.2f}, {way}"
    page.select_option("#order", "before")
    assert everyone[0] in page.locator(".cell[aria-posinset='1'] button").get_attribute(
        "aria-label"
    )
    page.select_option("#order", "moved")
    most = max(abs(everyone.index(name) - now.index(name)) for name in now)
    label = page.locator(".cell[aria-posinset='1'] button").get_attribute("aria-label")
    assert re.search(r"(up|down) (\d+)$", label)[2] == str(most)

    assert accessibility_problems(page) == []
    page.locator(".cell button").first.click()
    assert page.locator("#rating").is_visible()
    page.get_by_role("button", name="Learn my taste").click()
    expect(title).to_be_visible()
    assert page.locator(".strip h3").first.inner_text() == "Best before, for you"
    page.get_by_role("button", name="Rate more").click()
    assert page.locator("#rating").is_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_it_fits_is_still_and_accessible(browser, address, session, scheme, width):
    size = {"width": width, "height": 780}
    with open_tab(browser, color_scheme=scheme, viewport=size) as page:
        page.goto(address)
        page.wait_for_selector(".photo img")
        assert layout_shift(page) == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.scrollHeight") <= 780
        assert accessibility_problems(page) == []
        ground = "getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(ground)
        page.locator("#theme").click()
        assert page.evaluate(ground) != before


def test_hostile_names_are_text(page, session):
    hostile = next(i for i, path in enumerate(session.photos) if path.endswith(HOSTILE))
    session.rate(0, 1)
    session.rate(1, 5)
    page.reload()
    page.get_by_role("button", name="Learn my taste").click()
    page.get_by_role("listitem").get_by_title(HOSTILE, exact=True).click()
    assert shown(page) == HOSTILE
    assert page.locator("[onerror]").count() == 0
    assert session.path(hostile).endswith(HOSTILE)
