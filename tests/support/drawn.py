"""A report's or comparison's page in a browser, and scripts that wait for what it draws, and
measure it."""

from __future__ import annotations

import json
from pathlib import Path

from support.browser import Browser

DRAWN = "document.getElementById('footer').textContent !== ''"
# Plots are drawn when the page learns their width, which a ResizeObserver tells after the scripts,
# before the next frame ends.
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
# Pairs of labels within one drawing or table whose letters stand on one another.
OVERLAPS = """(() => {
  const pairs = [];
  for (const root of document.querySelectorAll("svg.plot, .confusion, .track, header, .legend, .confidences, .tile")) {
    const labels = [...root.querySelectorAll("text, th, td, dt, dd, h1, p, h3, .key, li > *")];
    const boxes = labels.filter(e => e.textContent.trim()).map(e => {
      const range = document.createRange();
      range.selectNodeContents(e);
      return [e, range.getBoundingClientRect()];
    });
    boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
      const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (!a.contains(b) && wide > 1 && high > 3) pairs.push(a.textContent + " | " + b.textContent);
    }));
  }
  return pairs;
})()"""
# The fraction of a canvas' height between the topmost and the lowest pixel that is drawn, for each
# of these tracks.
SPANS = """(canvases => [...canvases].map(c => {
  const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, rows = [];
  for (let i = 3; i < d.length; i += 4) if (d[i]) rows.push(Math.floor(i / 4 / c.width));
  return (Math.max(...rows) - Math.min(...rows)) / c.height;
}))"""
# The fraction of a canvas' columns in which a pixel is drawn, for each of these tracks.
WIDTHS = """(canvases => [...canvases].map(c => {
  const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, columns = new Set();
  for (let i = 3; i < d.length; i += 4) if (d[i]) columns.add(((i - 3) / 4) % c.width);
  return columns.size / c.width;
}))"""
# Contrast of two colours by WCAG, each as "rgb(r, g, b)".
CONTRAST = """((a, b) => {
  const parts = text => text.match(/\\d+/g).slice(0, 3).map(v => (v / 255) ** 2.2);
  const light = text => parts(text).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
  return (high + .05) / (low + .05);
})"""


def opened(browser: Browser, page: Path, width: int = 1100) -> None:
    """Open a page, and wait until it is drawn."""
    browser.errors.clear()
    browser.size(width, 900)
    browser.open(page.as_uri())
    browser.wait(
        f"location.href === {json.dumps(page.as_uri())} && document.readyState === 'complete' && "
        f"{DRAWN}"
    )
    browser.value(FRAMES)
