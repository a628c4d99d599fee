"""The pages of runs in a browser: nothing to complain of, nothing fetched, nothing wider than the window, everything named."""
import json
import os
import pathlib

import pytest

import browser
import cleave

WIDTHS = 400, 900, 1600
# A folder for screenshots, for people who look at them.
SCREENSHOTS = os.environ.get("CLEAVE_SCREENSHOTS")

# A page is wider than its window when the document can be scrolled sideways, or when something outside a region that scrolls by itself sticks out.
TOO_WIDE = """
[...document.querySelectorAll('body *')].filter(element => !element.closest('.wide, pre, svg')).filter(element => element.getBoundingClientRect().right > innerWidth + 1)
    .map(element => element.outerHTML.slice(0, 120)).concat(document.documentElement.scrollWidth > innerWidth ? ['the document'] : [])
"""
UNNAMED = """
[...document.querySelectorAll('table')].filter(table => !table.caption || !table.caption.textContent.trim()).map(() => 'a table without a caption')
    .concat([...document.querySelectorAll('th')].filter(cell => !cell.scope).map(() => 'a th without a scope'))
    .concat([...document.querySelectorAll('svg:not([aria-hidden])')].filter(svg => !svg.getAttribute('aria-label')).map(() => 'a drawing without a name'))
    .concat([...document.querySelectorAll('.dot, .drawn rect:not(.limit)')].filter(mark => mark.closest('.panel, .drawn') && !mark.querySelector('title')).map(() => 'a mark without a title'))
    .concat([...document.querySelectorAll('a[href^="#"]')].map(link => link.getAttribute('href').slice(1)).filter(name => !document.getElementById(name)).map(name => name + ' is nowhere'))
    .concat(document.querySelectorAll('h1').length == 1 ? [] : ['not one h1'])
"""
# The contrast of the text (WCAG 2.1, 1.4.3) by the colours that the browser computed.
PALE = """
(() => {
  const light = colour => { const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]; };
  const behind = element => { for (; element; element = element.parentElement) { const c = getComputedStyle(element).backgroundColor; if (!/, 0\\)$/.test(c)) return c; }
    return 'rgb(255, 255, 255)'; };
  return [...document.querySelectorAll('p, th, td, dt, dd, h1, h2, h3, caption, figcaption, li, span.note, span.value, pre')].filter(e => e.textContent.trim()).filter(e => {
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))]; return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5; })
    .map(e => e.tagName + ' ' + e.className + ': ' + e.textContent.trim().slice(0, 40));
})()
"""


class Pages:
    """Pages by name, each made when it is first asked for: two workers share the tests."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def __getitem__(self, name):
        if name not in self.made:
            self.made[name] = getattr(self, name)()
        return self.made[name]

    def run(self, name, settings):
        cleave.compress(self.folder / name, settings)
        return self.folder / name / "cleave/report.html"

    def w4(self):
        return self.run("w4", {})

    def odd(self):
        """Fewer tokens than columns, and more than one width."""
        rules = [{"match": "*.mlp.*", "bits": 3}, {"match": "*"}]
        return self.run("odd", {"calibration.sequences": 1, "calibration.length": 64, "rules": rules})

    def both(self):
        directories = [self[name].parent.parent for name in ("w4", "odd")]
        cleave.run("report", *directories, "--output", self.folder / "both.html", ranks=None)
        return self.folder / "both.html"

    def stopped(self):
        cleave.run("compress", "Configs/demo.yaml", "--set", "evaluation=null", "--output", self.folder / "stopped", "--max-hours", "0.000001", code=75)
        return self.folder / "stopped/cleave/report.html"

    def mixture(self):
        return mixture(self.folder)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return Pages(tmp_path_factory.mktemp("pages"))


def mixture(folder):
    """The page of a run on the smallest of mixtures, with random weights, of which some experts get few tokens."""
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    configuration = MixtralConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, vocab_size=128, num_local_experts=8,
        num_experts_per_tok=2, max_position_embeddings=64)
    MixtralForCausalLM(configuration).to(torch.bfloat16).save_pretrained(folder / "model")
    import numpy

    numpy.save(folder / "ids.npy", numpy.random.default_rng(0).integers(0, 128, 16 * 32).astype(numpy.int32))
    recipe = {
        "model": str(folder / "model"), "output": str(folder / "mixture"), "calibration": {"source": str(folder / "ids.npy"), "sequences": 16, "length": 32},
        "compress": {"bits": 4, "group": 32}, "experts": {"minimum_tokens": 130},
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    cleave.run("compress", folder / "recipe.yaml")
    return folder / "mixture/cleave/report.html"


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    if browser.program() is None:
        pytest.fail("no browser: Tests/Compatibility/run.sh installs Debian's chromium where it may")
    with browser.Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.mark.parametrize("name", ["w4", "odd", "both", "mixture", "stopped"])
def test_page(pages, window, name):
    for width in WIDTHS:
        for scheme in "light", "dark":
            window.open(pages[name], width, scheme)
            assert window.evaluate("innerWidth") == width
            assert window.complaints() == []
            assert [url for url in window.requests() if not url.startswith("data:")] == [pages[name].resolve().as_uri()]
            assert window.evaluate(TOO_WIDE) == []
            assert window.evaluate(PALE) == []
            if SCREENSHOTS:
                window.screenshot(pathlib.Path(SCREENSHOTS) / f"{name}-{width}-{scheme}.png")
    assert window.evaluate(UNNAMED) == []
    window.open(pages[name], 800, media="print")
    assert window.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    window.open(pages[name], 900)
    SAYS[name](lambda selector: window.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(element => element.textContent)"), pages[name])


# What each page says, by the texts of elements.


def says_of_w4(texts, page):
    report = json.loads((page.parent / "report.json").read_text())
    assert texts(".verdict") == ["Finished and verified"]
    # A dot for each linear that has an error, and its number; the second figure is the loss.
    titles = texts("main section:first-of-type .panel .dot title")
    assert {title.split(": ")[0] for title in titles} == {linear["name"] for linear in report["linears"] if "relativeOutputError" in linear}
    assert len(texts("tr[id]")) == len(report["linears"])


def says_of_odd(texts, page):
    assert "few tokens" in texts("main > section:first-child.attention tbody th")


def says_of_both(texts, page):
    assert texts("header tbody th") == [" w4", " odd"]


def says_of_mixture(texts, page):
    assert "starved experts" in texts(".attention tbody th") and texts("rect.starved title")


def says_of_stopped(texts, page):
    assert texts(".verdict")[0].startswith("Unfinished: stopped in good order")


SAYS = {"w4": says_of_w4, "odd": says_of_odd, "both": says_of_both, "mixture": says_of_mixture, "stopped": says_of_stopped}
