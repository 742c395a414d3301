"""The app in a real browser: upload, slide, run; every picture is there, nothing is logged, nothing leaves."""

import shutil
from collections.abc import Iterator
from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from support.web_server import app

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")

OWN = ("chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
PATIENCE = 60_000  # milliseconds, on a busy machine
# A picture is there: of some pixels, and another one than before.
LOADED = """([selector, before]) => {
  const image = document.querySelector(selector + " img");
  return image && image.complete && image.naturalWidth > 0 && image.src !== before;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    path = next((found for name in OWN if (found := shutil.which(name))), None)
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=path, headless=True, args=QUIET)
        except playwright.Error as error:
            pytest.skip(f"no Chromium here, `make browser` brings one: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(browser: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with app(cwd=tmp_path_factory.mktemp("app")) as served:
        yield served.address


@pytest.fixture
def page(browser, address):
    """The page, which has nothing to complain of at the end, and asked nobody but the app."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE)
    said, asked = [], set()
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.add(urlsplit(request.url)))
    page.goto(address)
    wait_for(page, "#strip")
    page.get_by_label("sigma_max").wait_for()  # the fields come a moment later, and what listens to them
    yield page
    page.close()
    assert not said
    assert {url.netloc for url in asked if url.scheme.startswith("http")} == {urlsplit(address).netloc}


def source(page, selector: str) -> str:
    image = page.locator(f"{selector} img")
    return image.first.get_attribute("src") if image.count() else ""


def wait_for(page, selector: str, before: str = "") -> np.ndarray:
    """The pixels of a picture's element, once it is loaded and another one than before."""
    page.wait_for_function(LOADED, arg=[selector, before])
    shot = page.locator(f"{selector} img").first.screenshot()
    return np.asarray(Image.open(BytesIO(shot)).convert("RGB")).astype(float)


def slide(page, name: str, value: str) -> None:
    box = page.locator(f"#{name} input[type=number]")
    box.fill(value)
    box.press("Enter")


def test_a_picture_is_there_at_once_and_the_slider_changes_it(page):
    half = wait_for(page, "#degraded")
    before = source(page, "#degraded")
    slide(page, "degrade-t", "0")
    clean = wait_for(page, "#degraded", before)
    assert clean.std() > 30, "the picture is empty"
    assert np.abs(np.diff(clean, axis=1)).mean() > 2 * np.abs(np.diff(half, axis=1)).mean(), "a blur blurs"


def test_another_operator_has_other_fields_and_they_do_something(page):
    before = source(page, "#degraded")
    page.locator("#degrade-name input").fill("gaussian_mask")
    page.locator("#degrade-name input").press("Enter")
    wait_for(page, "#degraded", before)
    box = page.get_by_label("kernel_std")
    box.wait_for()
    assert page.get_by_label("sigma_max").count() == 0
    before = source(page, "#degraded")
    box.fill("0.9")
    box.press("Tab")
    page.locator(".cm-content").filter(has_text="kernel_std=0.9").wait_for()
    wide = wait_for(page, "#degraded", before)
    assert (np.abs(wide - 128).max(axis=2) < 12).mean() > 0.05, "there is no hole"


def test_no_field_of_one_operator_reaches_the_next(page):
    for name in ("compose", "desaturate", "gaussian_noise", "interpolate", "iterated_blur"):
        before = source(page, "#degraded")
        page.locator("#degrade-name input").fill(name)
        page.locator("#degrade-name input").press("Enter")
        wait_for(page, "#degraded", before)
        page.wait_for_timeout(700)  # for what should not come
        assert page.get_by_text("Error", exact=True).count() == 0, name


def test_an_uploaded_picture_is_degraded(page, tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 32:] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    before = source(page, "#degraded")
    page.get_by_label("Remove Image").first.click()
    page.locator("#degrade-picture input[type=file]").set_input_files(tmp_path / "mine.png")
    assert page.get_by_text("no picture is chosen").count() == 0, "between two pictures there is none: no mistake"
    shown = wait_for(page, "#degraded", before)
    middle = shown[len(shown) // 2]
    red, dark = middle[-len(middle) // 8 :].mean(axis=0), middle[: len(middle) // 8].mean(axis=0)
    assert red[0] > 150 > 90 > red[1] and dark.max() < 90


def test_a_wrong_value_is_told_on_the_page_and_nothing_is_lost(page):
    before = source(page, "#degraded")
    box = page.get_by_label("sigma_max")
    box.fill("-3")
    box.press("Tab")
    page.get_by_text("sigma_max must be", exact=False).first.wait_for()
    assert source(page, "#degraded") == before


def test_a_digit_is_restored_before_ones_eyes(page):
    page.get_by_role("tab", name="Restore").click()
    page.locator("#restore-go").click()
    sheet = wait_for(page, "#restored")
    assert sheet.std() > 30
    assert wait_for(page, "#walk").std() > 30 and wait_for(page, "#race").std() > 5
    rows = [row.inner_text().split() for row in page.locator("#restore-table tbody tr").all()]
    told = {row[0]: float(row[3]) for row in rows if len(row) > 3}
    assert set(told) == {"one_shot", "improved"} and all(0 < rmse < 0.15 for rmse in told.values()), rows


def test_new_digits_are_generated_and_so_is_the_way_between_two(page):
    page.get_by_role("tab", name="Generate").click()
    page.locator("#generate-go").click()
    page.get_by_text("seeds 0 to 15, one image each; 20 calls").wait_for()
    grid = wait_for(page, "#generated")
    assert grid.std() > 40
    page.get_by_label("from one seed to another").check()
    page.get_by_label("To seed").fill("7")
    before = source(page, "#generated")
    page.locator("#generate-go").click()
    page.get_by_text("16 images from seed 0 to seed 7; 20 calls").wait_for()
    assert wait_for(page, "#generated", before).std() > 30
