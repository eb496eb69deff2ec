"use strict";
// What every page needs: its data, elements, numbers as text, packed arrays, light and dark.

const DATA = JSON.parse(document.getElementById("data").textContent);
const CALM = matchMedia("(prefers-reduced-motion: reduce)").matches;

// ---- elements: el("p", {class: "note"}, "text", otherElement) -------------------------------------------------------------

function el(tag, attributes, ...children) { return fill(document.createElement(tag), attributes, children); }
function svg(tag, attributes, ...children) { return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children); }

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") element.style.cssText = value;  // set by the script, which the page's policy allows
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter(child => child != null && child !== false));
  return element;
}

/** A section of the page, and its place in the navigation. */
function section(id, title, lead, ...content) {
  document.getElementById("nav").append(el("a", { href: "#" + id }, title));
  const made = el("section", { id, "aria-labelledby": id + "-title" }, el("h2", { id: id + "-title" }, title), lead && el("p", { class: "lead" }, lead), ...content);
  document.getElementById("main").append(made);
  return made;
}

/** Radio buttons that look like chips; calls choose(value) at each change. */
function chips(name, legend, options, chosen, choose) {
  return el("fieldset", { class: "chips" }, el("legend", {}, legend), options.map(([value, text]) => el("label", {},
    el("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value) }), el("span", {}, text))));
}

/** A table; a cell is a text, or {text, more, best, words}. On a phone the rows of kind "settings" are stacked, each value under its key. */
function table(caption, head, rows, kind) {
  const cell = (item, column) => {
    const first = column === 0;
    const given = item !== null && typeof item === "object" && !(item instanceof Node) ? item : { text: item };
    return el(first ? "th" : "td", { scope: first && "row", class: given.best ? "best" : given.words ? "words" : null, "data-head": kind === "settings" && !first && head[column] }, given.text, given.more && el("small", {}, given.more));
  };
  return el("div", { class: kind === "long" ? "scroll tall" : "scroll", tabindex: "0", role: "region", "aria-label": caption || kind }, el("table", { class: kind },
    caption && el("caption", {}, el("span", {}, caption)),
    head && el("thead", {}, el("tr", {}, head.map((text, column) => el("th", { scope: "col", class: rows.length && rows[0][column] && rows[0][column].words && "words" }, text)))),
    el("tbody", {}, rows.map(row => el("tr", { class: row.sub && "sub" }, row.map(cell))))));
}

// ---- numbers as text ----------------------------------------------------------------------------------------------------------

const NONE = "–";
const percent = (value, digits = 2) => value == null ? NONE : (100 * value).toFixed(digits) + " %";
/** Percent on an axis, a tenth where a tick needs it; `exact` for the value under the pointer. */
const share = (value, exact) => percent(value, exact ? 2 : Math.abs(100 * value - Math.round(100 * value)) < 1e-6 ? 0 : 1);
const whole = value => value == null ? NONE : Math.round(value).toLocaleString("en");
/** Three significant digits, or all of a larger number. */
function short(value) {
  if (value == null) return NONE;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  return size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}
function energy(pj) {
  if (pj == null) return NONE;
  const [factor, unit] = [[1e12, "J"], [1e9, "mJ"], [1e6, "µJ"], [1e3, "nJ"]].find(([size]) => pj >= size) || [1, "pJ"];
  return short(pj / factor) + " " + unit;
}
const times = ratio => ratio == null ? NONE : short(ratio) + "×";
function seconds(value) {
  if (value == null) return NONE;
  return value < 120 ? short(value) + " s" : value < 7200 ? short(value / 60) + " min" : short(value / 3600) + " h";
}
/** Steps, and the time they last where they are in time. */
const inTime = (steps, stepMs) => stepMs == null ? "" : steps * stepMs >= 10000 ? short(steps * stepMs / 1000) + " s" : short(steps * stepMs) + " ms";

// ---- packed arrays (samples.py): {shape, get(row, column)} ------------------------------------------------------------------------

function unpack(packed) {
  const text = atob(packed.data), bytes = Uint8Array.from(text, c => c.charCodeAt(0));
  const view = new DataView(bytes.buffer), [rows, columns = 1] = packed.shape, scale = packed.high - packed.low;
  const read = {
    bits: i => bytes[i >> 3] >> (i & 7) & 1,
    int16: i => view.getInt16(2 * i, true),
    levels: i => packed.low + scale * bytes[i] / 255,
    fine: i => packed.low + scale * view.getUint16(2 * i, true) / 65535,
  }[packed.type];
  return { type: packed.type, rows, columns, low: packed.low, high: packed.high, get: (row, column = 0) => read(row * columns + column) };
}

// ---- light and dark, sizes: drawings register themselves and are redrawn when either changes --------------------------------------

const drawings = new Map();
const observer = new ResizeObserver(entries => entries.forEach(({ target }) => {
  const drawing = drawings.get(target);
  if (drawing && drawing.width !== target.clientWidth) { drawing.width = target.clientWidth; if (drawing.width) drawing.draw(); }
}));
function drawIn(host, draw) { drawings.set(host, { draw, width: 0 }); observer.observe(host); }
const colourOf = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Black or white, whichever can be read on the colour. */
function onColour(hex) {
  const [r, g, b] = [1, 3, 5].map(i => (parseInt(hex.slice(i, i + 2), 16) / 255) ** 2.2);
  return .2126 * r + .7152 * g + .0722 * b > .18 ? "#000" : "#fff";
}

(function theme() {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("srnn-theme"); } catch { /* a page without storage follows the system */ }
  let printing = false;  // paper is white
  const show = () => {
    root.dataset.theme = printing ? "light" : chosen || (dark.matches ? "dark" : "light");
    document.getElementById("theme").setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
    drawings.forEach(drawing => drawing.width && drawing.draw());
  };
  document.getElementById("theme").addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("srnn-theme", chosen); } catch { /* it then lasts as long as the page */ }
    show();
  });
  dark.addEventListener("change", show);
  addEventListener("beforeprint", () => { printing = true; show(); });
  addEventListener("afterprint", () => { printing = false; show(); });
  show();
})();
