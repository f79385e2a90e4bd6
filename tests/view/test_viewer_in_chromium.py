"""The page in a real browser: what is drawn where, what keys and clicks do, and that nothing fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Chromium, find_chromium
from made_sequence import places, write_sequence
from test_viewer_page import make_scene, run_command

SIZE = (1100, 700)
EXECUTABLE = find_chromium()
pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium here")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    assert EXECUTABLE is not None
    browser = Chromium(EXECUTABLE, tmp_path_factory.mktemp("profile"), SIZE)
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def nothing_fails(browser: Chromium) -> Iterator[None]:
    browser.errors.clear()
    yield
    assert browser.errors == []


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_sequence(tmp_path_factory.mktemp("made") / "plaza")
    run_command(folder, "--measure")
    return folder / "viewer.html"


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 people, and the same before the optimisation, seen by a camera that was tilted otherwise."""
    folder = tmp_path_factory.mktemp("photograph")
    after, before = make_scene(500), make_scene(500, tilt_deg=14.0)
    before.people.hvip_cam_m[:, 2] += 0.5
    for scene in (after, before):
        scene.people.keypoints_px[:] = np.arange(1.0, 501.0)[:, None, None]
        scene.save(folder if scene is after else folder / "lifted")
    run_command(folder)
    return folder / "viewer.html"


def colour_at(browser: Chromium, x: float, y: float) -> np.ndarray:
    return browser.picture()[round(y), round(x)].astype(float)


def on_screen(browser: Chromium, x: float, y: float, z: float) -> tuple[float, float]:
    """Pixel of a point of the upright world by the page's own matrix."""
    m = np.array(list(browser.run("viewProjection(frame())").values())).reshape(4, 4).T
    u, v, _, w = m @ (x, y, z, 1.0)
    return (u / w + 1) / 2 * SIZE[0], (1 - v / w) / 2 * SIZE[1]


def test_bodies_are_drawn_where_they_stand_in_the_colours_of_their_ids(browser: Chromium, sequence: Path) -> None:
    """Seen by the photograph's camera, the torso is where that camera projects it."""
    browser.open(sequence, "moment=3&view=photo")
    picture = browser.picture().astype(float)
    bare = browser.run("people.map(p => [p.x, p.top, p.z, ...p.colour])")
    for x, top, z, *colour in bare:
        u, v = on_screen(browser, x, 0.6 * top, z)
        around = picture[round(v) - 12 : round(v) + 12, round(u) - 12 : round(u) + 12].reshape(-1, 3)
        hues = around / np.maximum(around.sum(1, keepdims=True), 1.0)
        assert np.abs(hues - np.array(colour) / sum(colour)).sum(1).min() < 0.06
    assert browser.run("drawn.near + drawn.far") == 4


def test_the_timeline_by_keys_and_slider(browser: Chromium, sequence: Path) -> None:
    browser.open(sequence)
    assert browser.text("#time output") == "0.00 s · 3 people · plaza_0.jpg"
    browser.press(".")
    assert browser.text("#time output") == "0.50 s · 4 people · plaza_1.jpg"
    browser.press("n")
    browser.press("n")
    assert "Person 1" in browser.text("#person")
    x, ahead = places(1)[1]
    assert f"{x:.2f} ±" in browser.text("#person")
    assert f"{ahead:.2f} ±" in browser.text("#person")
    browser.press(",")
    assert "not in this picture" in browser.text("#person")
    browser.run("document.querySelector('#time input').focus()")
    browser.press("ArrowRight")
    assert browser.text("#time output").startswith("0.50 s")


def test_density_over_time_follows_the_slider(browser: Chromium, sequence: Path) -> None:
    browser.open(sequence, "layer=density&view=top")
    told = []
    for _ in range(2):
        assert browser.text("#figure").startswith("density around people: 0.")
        line, thumb = browser.run(
            "[document.querySelector('#curve .now').getBoundingClientRect(), slider.getBoundingClientRect()].map((box, k) =>"
            " k ? box.left + 8 + (box.width - 16) * slider.value / slider.max : box.left + box.width / 2)"
        )
        assert abs(line - thumb) < 3.0
        told.append(browser.text("#figure"))
        browser.press(".")
    assert told[0] != told[1]
    browser.run("new Promise(done => { const wait = () => densities[2] ? done() : setTimeout(wait, 10); wait(); })")
    assert browser.run("groundDensity === densities[2]")


def test_playing_goes_on_to_the_last_picture(browser: Chromium, sequence: Path) -> None:
    browser.open(sequence, "moment=4")
    browser.press(" ")
    assert browser.text("#play") == "Pause"
    browser.run("new Promise(done => { const wait = () => timer === null ? done() : setTimeout(wait, 20); wait(); })")
    assert browser.text("#time output").startswith("3.00 s")
    assert browser.text("#play") == "Play"


def test_ways_can_be_switched_off(browser: Chromium, sequence: Path) -> None:
    browser.open(sequence, "moment=6&view=top")
    x, z = places(2)[0] * [1, -1]
    at = on_screen(browser, x, 0.0, z)
    assert colour_at(browser, *at)[2] < 60
    browser.press("w")
    assert colour_at(browser, *at)[2] > 180


def test_five_hundred_people_in_two_draws(browser: Chromium, photograph: Path) -> None:
    browser.open(photograph)
    drawn = browser.run("drawn")
    assert drawn["near"] + drawn["far"] > 450
    assert drawn["triangles"] < 400_000
    calls = browser.run(
        "(() => { let calls = 0; for (const name of ['drawElementsInstanced', 'drawElements', 'drawArrays']) {"
        " const real = gl[name].bind(gl); gl[name] = (...all) => { calls++; real(...all); }; } draw(); return calls; })()"
    )
    assert calls < 10
    # What the page itself does per picture; drawing is the graphics card's.
    milliseconds = browser.run(
        "(() => { for (const name of ['drawElementsInstanced', 'drawArrays']) gl[name] = () => {};"
        " const time = () => { view.yaw += 0.05; const start = performance.now(); draw(); return performance.now() - start; };"
        " return Array.from({ length: 60 }, time).sort((a, b) => a - b)[30]; })()"
    )
    assert milliseconds < 5.0


def test_before_and_after_by_a_key(browser: Chromium, photograph: Path) -> None:
    browser.open(photograph, "person=7")
    after = browser.run("people.find(p => p.id === 7)")
    browser.press("b")
    before = browser.run("people.find(p => p.id === 7)")
    assert before["z"] != after["z"]
    assert before["colour"] == after["colour"]
    assert browser.run("document.querySelector('#before').getAttribute('aria-pressed')") == "true"
    assert f"{-before['z']:.2f}" in browser.text("#person")
    browser.press("b")
    assert browser.run("people.find(p => p.id === 7)") == after


def test_a_click_chooses_whoever_is_there(browser: Chromium, sequence: Path) -> None:
    browser.open(sequence, "moment=3&person=3&view=overview")
    browser.press("Escape")
    assert not browser.text("#person")
    x, y, z = browser.run("(p => [p.x, p.top / 2, p.z])(people[2])")
    browser.click(*on_screen(browser, x, y, z))
    told = browser.text("#person")
    assert "Person 2" in told
    assert all(name in told for name in ("right of camera", "in front", "stature", "faces", "score"))


def test_uncertainty_is_that_of_whoever_is_chosen_else_of_everybody(browser: Chromium, sequence: Path) -> None:
    browser.open(sequence, "moment=3&layer=spread")
    assert browser.run("ellipses.count") == 4 * 96
    browser.press("n")
    assert browser.run("ellipses.count") == 96
    browser.press("Escape")
    assert browser.run("ellipses.count") == 4 * 96


def test_the_tape_measures_between_two_clicks(browser: Chromium, sequence: Path) -> None:
    browser.open(sequence, "view=top")
    browser.press("t")
    for x in (-2.0, 1.0):
        browser.click(*on_screen(browser, x, 0.0, -13.0))
    assert browser.text("#tape").startswith("3.00 ± ") or browser.text("#tape").startswith("2.99 ± ")


def test_the_help_names_the_keys_that_work_here(browser: Chromium, sequence: Path, photograph: Path) -> None:
    browser.open(sequence)
    browser.press("h")
    assert "previous, next picture" in browser.text("#help")
    assert "before and after" not in browser.text("#help")
    browser.open(photograph)
    browser.press("?", shift=True)
    assert "before and after" in browser.text("#help")
    browser.press("Escape")
    assert not browser.run("help.open")


def test_every_button_is_reached_by_tab(browser: Chromium, sequence: Path) -> None:
    browser.open(sequence)
    reached = []
    for _ in range(browser.run("[...document.querySelectorAll('button, input')].filter(one => one.offsetParent).length")):
        browser.press("Tab")
        reached.append(browser.run("document.activeElement.innerText || document.activeElement.type"))
    assert reached[:3] == ["Play", "range", "Overview"]
    assert reached[-1] == "Help"


def test_the_saved_picture_is_what_is_drawn(browser: Chromium, sequence: Path) -> None:
    browser.open(sequence)
    browser.run("HTMLAnchorElement.prototype.click = function () { window.saved = [this.download, this.href]; }")
    browser.run("URL.revokeObjectURL = () => {}")
    browser.press("s")
    name, size, least_blue = browser.run(
        """(async () => {
            while (!window.saved) await new Promise(done => setTimeout(done, 10));
            const image = await createImageBitmap(await (await fetch(saved[1])).blob());
            const sheet = new OffscreenCanvas(image.width, image.height), pen = sheet.getContext("2d");
            pen.drawImage(image, 0, 0);
            const data = pen.getImageData(0, 0, image.width, image.height).data;
            let least = 255;
            for (let k = 2; k < data.length; k += 4) least = Math.min(least, data[k]);
            return [saved[0], [image.width, image.height], least];
        })()"""
    )
    assert name == "plaza_0_3d.png"
    assert tuple(size) == SIZE
    assert least_blue < 60


@pytest.mark.parametrize("size", [(1100, 700), (420, 800)])
def test_no_panel_is_cut_off_or_over_another(browser: Chromium, sequence: Path, size: tuple[int, int]) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)
    try:
        browser.open(sequence, "person=0")
        boxes = browser.run(
            """(async () => {
                const shown = () => [...document.querySelectorAll('.panel')].filter(one => one.offsetParent);
                for (let k = 0; k < 200 && shown().length < 5; k++) await new Promise(done => setTimeout(done, 50));
                return shown().map(one => { const b = one.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; });
            })()"""
        )
    finally:
        browser.call("Emulation.setDeviceMetricsOverride", width=SIZE[0], height=SIZE[1], deviceScaleFactor=1, mobile=False)
    assert len(boxes) == 5
    for left, top, right, bottom in boxes:
        assert left >= 0
        assert top >= 0
        assert right <= size[0]
        assert bottom <= size[1]
    apart = [a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for k, a in enumerate(boxes) for b in boxes[:k]]
    assert all(apart)
