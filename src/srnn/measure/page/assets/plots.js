// Plots as SVG: lines, steps, areas and points over one pair of axes, with a legend and values under the pointer or the arrow keys.

/** Round numbers over a range, about `count` of them; decades where the axis is logarithmic. */
function ticks(low, high, count, log) {
  if (log && high / low > 6) {  // below, evenly spaced numbers do
    const found = [], within = high / low < 200 ? [1, 2, 5] : [1];
    for (let e = Math.floor(Math.log10(low)); 10 ** e <= high * 1.0001; e++) for (const f of within) if (f * 10 ** e >= low * .9999 && f * 10 ** e <= high * 1.0001) found.push(f * 10 ** e);
    const skip = Math.ceil(found.length / count);
    return found.filter((_, i) => i % skip === 0);
  }
  if (!(high > low)) return [low];
  const raw = (high - low) / Math.max(1, count), size = 10 ** Math.floor(Math.log10(raw));
  const step = size * [1, 2, 2.5, 5, 10].find(f => f * size >= raw * .999), found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

/** Ticks as text, with all of their digits where rounding makes two alike. */
function tickTexts(found, text) {
  const written = [false, true].map(exact => found.map(value => text(value, exact)));
  return written.find(texts => new Set(texts).size === texts.length) || found.map(value => value.toLocaleString("en", { maximumFractionDigits: 12 }));
}

function extent(values) {
  const known = values.filter(v => v != null && Number.isFinite(v));
  // One after the other: a function takes some 120,000 arguments, and a long recording has more steps.
  return known.length ? known.reduce(([low, high], v) => [v < low ? v : low, v > high ? v : high], [known[0], known[0]]) : [0, 1];
}

/**
 * figure = plot({title, subtitle, x: {label, log, min, max, text}, y: {...}, series: [{name, x, y, colour, dash, area, step, points}],
 *                marks: [{x, text}], labels, pad})
 * y of a series may hold null: the line is broken there. A step series has one more x than y (edges). labels: points bear their names, where there is room. pad: y is a share, with
 * room around its points.
 */
function plot(spec) {
  const figure = el("figure", {}, el("figcaption", {}, spec.title, spec.subtitle && el("small", {}, spec.subtitle)));
  const host = el("div", {}), tip = el("div", { class: "tip", hidden: true, role: "status" });
  figure.append(host, tip);
  if (spec.series.length > 1) figure.append(el("ul", { class: "legend" }, spec.series.map(one =>
    el("li", {}, el("i", { class: one.area || one.points ? "dot" : one.dash ? "dash" : "", style: `color:${one.colour};border-color:${one.colour}` }), one.name))));
  drawIn(host, () => drawPlot(spec, host, tip));
  return figure;
}

function drawPlot(spec, host, tip) {
  const width = host.clientWidth, height = 230;
  const xText = spec.x.text || short, yText = spec.y.text || short;
  const all = spec.series.flatMap(one => one.y), [lowest, highest] = extent(all);
  let [x0, x1] = extent(spec.series.flatMap(one => one.x)), [y0, y1] = [spec.y.min ?? lowest, spec.y.max ?? highest];
  x0 = spec.x.min ?? x0; x1 = spec.x.max ?? x1;
  if (x0 === x1) { x0 -= .5; x1 += .5; }
  if (spec.x.log && spec.x.min == null) { x0 /= 1.6; x1 *= 1.6; }
  if (y1 === y0) { y1 += Math.abs(y1) * .1 || 1; }
  if (spec.pad) { y0 = Math.max(0, y0 - (y1 - y0) * .25); y1 = Math.min(1, y1 + (y1 - y0) * .2); }
  else if (spec.y.max == null) y1 += (y1 - y0) * .05;
  const yTicks = ticks(y0, y1, Math.max(2, height / 55), spec.y.log).filter(v => !spec.y.whole || Number.isInteger(v));
  const yTexts = tickTexts(yTicks, yText);
  const left = Math.max(...yTexts.map(text => text.length)) * 7 + 12, right = 14, top = 12, bottom = 40;
  const at = (v, low, high, log) => log ? (Math.log10(v) - Math.log10(low)) / (Math.log10(high) - Math.log10(low)) : (v - low) / (high - low);
  const px = v => left + at(v, x0, x1, spec.x.log) * (width - left - right);
  const py = v => height - bottom - at(v, y0, y1, spec.y.log) * (height - top - bottom);

  const root = svg("svg", { class: "plot", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0", "aria-label": describe(spec, xText, yText) });
  yTicks.forEach((v, i) => root.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: py(v), y2: py(v) }), svg("text", { x: left - 8, y: py(v) + 4, "text-anchor": "end" }, yTexts[i])));
  const xTicks = ticks(x0, x1, Math.max(2, (width - left) / 75), spec.x.log).filter(v => !spec.x.whole || Number.isInteger(v));
  tickTexts(xTicks, xText).forEach((text, i) => root.append(svg("text", { x: Math.min(px(xTicks[i]), width - 3.5 * text.length), y: height - bottom + 18, "text-anchor": "middle" }, text)));
  root.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
  root.append(svg("text", { x: width - right, y: height - 4, "text-anchor": "end" }, spec.x.label), svg("text", { x: left, y: 2, "dominant-baseline": "hanging", dy: "-4" }, spec.y.label));
  for (const mark of spec.marks || []) {
    const x = px(mark.x), end = x > width * .7;
    root.append(svg("line", { class: "cross", x1: x, x2: x, y1: top + 4, y2: height - bottom }), svg("text", { x: x + (end ? -5 : 5), y: height - bottom - 7, "text-anchor": end ? "end" : "start" }, mark.text));
  }
  for (const one of spec.series) root.append(...shape(one, px, py, height - bottom));
  const cross = svg("line", { class: "cross", y1: top, y2: height - bottom, visibility: "hidden" });
  root.append(cross);
  if (spec.labels) labelPoints(spec, root, px, py, width);
  host.replaceChildren(root);
  followPointer(spec, root, host, tip, cross, px, py, xText, yText, left, width);
}

function shape(one, px, py, floor) {
  const alone = one.y.filter(v => v != null).length === 1 && !one.step;  // a line of one point cannot be seen
  if (one.points || alone) return one.x.map((x, i) => one.y[i] == null ? "" : svg("circle", { cx: px(x), cy: py(one.y[i]), r: 6, fill: one.colour, stroke: "var(--card)", "stroke-width": 2 })).filter(Boolean);
  let path = "", down = true, first = null, last = null;
  one.y.forEach((value, i) => {
    if (value == null) { down = true; return; }
    const x = px(one.x[i]), y = py(value);
    if (one.step) { path += `${down ? `M${x} ${floor}` : ""}L${x} ${y}L${px(one.x[i + 1])} ${y}`; last = px(one.x[i + 1]); }
    else { path += `${down ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`; last = x; }
    first ??= x; down = false;
  });
  if (!path) return [];
  if (one.step) path += `L${last} ${floor}`;
  const filled = one.area && svg("path", { d: one.step ? path : `${path}L${last} ${floor}L${first} ${floor}Z`, fill: one.colour, opacity: .28 });
  return [filled, svg("path", { d: path, fill: "none", stroke: one.colour, "stroke-width": one.thin ? 1.4 : 2, "stroke-linejoin": "round", "stroke-dasharray": one.dash ? "5 4" : null })].filter(Boolean);
}

function labelPoints(spec, root, px, py, width) {
  const placed = [];
  for (const one of spec.series) one.x.forEach((x, i) => {
    if (one.y[i] == null || placed.some(([a, b]) => Math.abs(px(x) - a) < 90 && Math.abs(py(one.y[i]) - b) < 13)) return;  // the legend has it
    placed.push([px(x), py(one.y[i])]);
    const side = px(x) > width * .8 ? "end" : px(x) < width * .2 ? "start" : "middle";
    root.append(svg("text", { x: px(x), y: py(one.y[i]) - 12, "text-anchor": side }, one.name));
  });
}

/** Values of all series at the nearest x, in a box; arrow keys move along the longest series. */
function followPointer(spec, root, host, tip, cross, px, py, xText, yText, left, width) {
  const longest = spec.series.reduce((a, b) => b.y.length > a.y.length ? b : a, spec.series[0]);
  if (!longest || !longest.y.length) return;
  const middle = (one, i) => one.step ? (one.x[i] + one.x[i + 1]) / 2 : one.x[i];
  let current = -1;
  const show = index => {
    current = Math.max(0, Math.min(longest.y.length - 1, index));
    const x = middle(longest, current), where = px(x);
    cross.setAttribute("x1", where); cross.setAttribute("x2", where); cross.setAttribute("visibility", "visible");
    const lines = spec.series.map(one => {
      const i = nearest(one, x, middle);
      return i < 0 || one.y[i] == null || (one.points && one !== longest && one.x[i] !== x) ? null : el("div", {}, spec.series.length > 1 ? one.name + ": " : "", yText(one.y[i], true));
    });
    tip.replaceChildren(el("div", {}, spec.x.label + " " + (longest.step ? `${short(longest.x[current])} to ${short(longest.x[current + 1])}` : xText(x, true))), ...lines.filter(Boolean));
    tip.hidden = false;
    tip.style.left = Math.max(0, Math.min(where + 12, width - tip.offsetWidth)) + "px";
    if (where + 12 + tip.offsetWidth > width) tip.style.left = Math.max(0, where - 12 - tip.offsetWidth) + "px";
    tip.style.top = host.offsetTop + 10 + "px";
  };
  const hide = () => { tip.hidden = true; cross.setAttribute("visibility", "hidden"); };
  root.addEventListener("pointermove", event => {
    const x = event.clientX - root.getBoundingClientRect().left;
    let best = 0;
    for (let i = 1; i < longest.y.length; i++) if (Math.abs(px(middle(longest, i)) - x) < Math.abs(px(middle(longest, best)) - x)) best = i;
    show(best);
  });
  root.addEventListener("pointerleave", hide);
  root.addEventListener("blur", hide);
  root.addEventListener("keydown", event => {
    const jump = Math.max(1, Math.round(longest.y.length / 20));
    const to = { ArrowRight: current + 1, ArrowLeft: current - 1, PageUp: current + jump, PageDown: current - jump, Home: 0, End: longest.y.length - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); show(to); } else if (event.key === "Escape") hide();
  });
}

function nearest(one, x, middle) {
  let best = -1;
  for (let i = 0; i < one.y.length; i++) if (best < 0 || Math.abs(middle(one, i) - x) < Math.abs(middle(one, best) - x)) best = i;
  return best;
}

/** The plot in words. */
function describe(spec, xText, yText) {
  const parts = spec.series.map(one => {
    const known = one.y.filter(v => v != null);
    if (!known.length) return one.name;
    const [low, high] = extent(known);
    return `${one.name}: ${yText(low)} to ${yText(high)}` + (one.step || one.points ? "" : `, at last ${yText(known[known.length - 1])}`);
  });
  return `${spec.title}. ${spec.y.label} over ${spec.x.label}. ${parts.join("; ")}. Arrow keys read the values.`;
}

/** Points over a logarithmic scale, on which a bar's length would mean nothing: [{name, values: [value, ...]}], a colour for each group. */
function logPoints(title, subtitle, rows, groups, text) {
  const figure = el("figure", {}, el("figcaption", {}, title, subtitle && el("small", {}, subtitle))), host = el("div", {});
  figure.append(host, el("ul", { class: "legend" }, groups.map((name, i) => el("li", {}, el("i", { class: "dot", style: `color:var(--c${i})` }), name))));
  const [low, high] = extent(rows.flatMap(row => row.values).filter(v => v > 0));
  const from = 10 ** Math.floor(Math.log10(low) - .15), to = 10 ** Math.ceil(Math.log10(high * 1.05));
  drawIn(host, () => {
    const width = host.clientWidth, bar = 16, gap = 32, top = 6;
    const height = top + rows.length * (groups.length * bar + gap) + 24, right = 66;
    const px = v => (Math.log10(v) - Math.log10(from)) / (Math.log10(to) - Math.log10(from)) * (width - right);
    const root = svg("svg", { class: "plot", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}. ` + rows.map(row => `${row.name}: ` + groups.map((name, i) => `${name} ${text(row.values[i])}`).join(", ")).join("; ") });
    for (const v of ticks(from, to, width / 80, true)) root.append(svg("line", { class: "grid", x1: px(v), x2: px(v), y1: top, y2: height - 20 }), svg("text", { x: px(v), y: height - 4, "text-anchor": px(v) < 12 ? "start" : "middle" }, text(v)));
    rows.forEach((row, r) => {
      const y = top + r * (groups.length * bar + gap);
      root.append(svg("text", { x: 0, y: y + 14, style: "fill:var(--ink);font-weight:600;font-size:13px" }, row.name));
      groups.forEach((_, i) => {
        if (!(row.values[i] > 0)) return;
        const x = px(row.values[i]), middle = y + 26 + i * bar;
        root.append(svg("line", { class: "reach", x1: 0, x2: x, y1: middle, y2: middle }), svg("circle", { cx: x, cy: middle, r: 5, fill: `var(--c${i})` }), svg("text", { x: x + 9, y: middle + 4 }, text(row.values[i])));
      });
    });
    host.replaceChildren(root);
  });
  return figure;
}
