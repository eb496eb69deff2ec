// A section as srnn.measure.sections describes it: tables, plots, numbers and notes.

const FORMS = { text: String, count: whole, share, number: short, energy, seconds, ratio: times, points: value => `${(100 * value).toFixed(2)} points` };

/** A number as its form says; a pair is a range. On an axis it may have fewer digits. */
function written(value, form, exact = true) {
  if (value == null) return NONE;
  if (Array.isArray(value)) return value.map(end => written(end, form)).join(" to ");
  if (value.kind === "spread") return `${written(value.mean, form)} ± ${written(value.deviation, form)}`;
  if (form.name === "text") return value;
  const size = Math.abs(value), plus = form.signed ? "+" : "", sign = value < 0 ? "−" : plus;
  if (form.name === "steps") return sign + short(size) + (form.step_ms == null ? "" : ` (${inTime(size, form.step_ms)})`);
  return sign + FORMS[form.name](size, exact);
}

const SHOWN = {
  note: part => el("p", { class: "note" }, part.text),
  values: part => el("p", { class: "note" }, Object.entries(part.values).map(([name, value]) => `${name}: ${written(...value)}`).join("; ")),
  table: shownTable,
  compared: shownComparison,
  plot: shownPlot,
  confusion: part => part.names.length > 12 ? confusionPicture(part) : confusionTable(part),
};

/** A section: plots and narrow tables that follow one another stand side by side. */
function shown(id, { title, lead, parts }) {
  const content = el("div", { class: "stack" });
  let beside = null;
  for (const part of parts) {
    const narrow = part.kind === "plot" || part.kind === "confusion" || (part.kind === "table" && Object.keys(part.columns).length <= 5);
    if (narrow && !beside) content.append(beside = el("div", { class: "columns" }));
    if (!narrow) beside = null;
    (beside || content).append(SHOWN[part.kind](part));
  }
  section(id, title, lead, content);
}

function shownTable({ title, columns, rows, bar, points }) {
  const names = Object.keys(columns), cell = (value, column) => {
    const form = columns[names[column]], text = written(value, form);
    return { text, words: form.name === "text" && column > 0, more: names[column] === bar && el("span", { class: "bar" }, el("i", { style: `width:${100 * (value || 0)}%` })) };
  };
  const made = rows.map(row => Object.assign(row.map(cell), { sub: String(row[0]).startsWith("  ") }));
  const kinds = { settings: names.every(name => columns[name].name === "text"), long: rows.length > 12, measures: names.length > 5 };
  const shown = table(title, names, made, Object.keys(kinds).find(kind => kinds[kind]));
  const models = names.slice(1), of = rows.map(([name, ...values]) => ({ name, values }));
  return points ? el("div", { class: "stack" }, shown, logPoints(title, "logarithmic", of, models, value => written(value, columns[models[0]]))) : shown;
}

function shownComparison({ title, names, measures }) {
  return table(title, ["measure", ...names], measures.map(({ name, form, values, best }) => [name, ...values.map(value => ({ text: written(value, form), best: best != null && value === best }))]), "measures");
}

function shownPlot({ title, subtitle, x, y, lines, marks }) {
  const axis = ({ label, form, low, high, log, whole: onlyWhole }) => ({ label, log, whole: onlyWhole, min: low ?? undefined, max: high ?? undefined, text: (value, exact = false) => written(value, form, exact) });
  let colours = 0;
  const series = lines.map(line => {
    const { name, y, look } = line, guide = look === "guide", dash = guide || look === "dashed", x = line.x || y.map((_, i) => i + 1);
    if (!dash) colours++;
    const colour = guide || (dash && lines[0].look === "area") ? "var(--soft)" : `var(--c${(colours - 1) % 10})`;
    return { name, x, y, colour, dash, thin: guide || look === "thin", area: look === "area", points: look === "points", step: x.length > y.length };
  });
  const points = series.every(one => one.points);
  return plot({ title, subtitle, x: axis(x), y: axis(y), series, pad: points, labels: points && series.length <= 9, marks: Object.entries(marks).map(([text, x]) => ({ text, x })) });
}

// ---- confusions --------------------------------------------------------------------------------------------------------------------

const shareOf = row => { const total = row.reduce((a, b) => a + b, 0); return row.map(n => total ? n / total : 0); };

/** A colour between two: so much of the first. */
function mixed(one, other, part) {
  const channel = (hex, i) => parseInt(hex.slice(i, i + 2), 16);
  return "#" + [1, 3, 5].map(i => Math.round(part * channel(one, i) + (1 - part) * channel(other, i)).toString(16).padStart(2, "0")).join("");
}

function confusionTable(part) {
  const names = part.names, long = names.some(name => name.length > 10), cells = part.counts.map((row, i) => shareOf(row).map((share, j) =>
    el("td", { title: `${names[i]} taken for ${names[j]}: ${whole(row[j])}` }, row[j] ? (share >= .005 ? (100 * share).toFixed(0) : "·") : "")));
  const host = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion matrix" }, el("table", { class: long ? "confusion long" : "confusion", style: `min-width:${(long ? 120 : 30) + 30 * names.length}px` }, el("caption", {}, "Confusion"),
    el("thead", {}, el("tr", {}, el("td", {}), names.map(name => el("th", { scope: "col", title: name }, el("span", {}, name))))),
    el("tbody", {}, cells.map((row, i) => el("tr", {}, el("th", { scope: "row" }, names[i]), row)))), el("p", { class: "note" }, "In percent of the row; blue is right, orange is wrong (2.5 times as strong)."));
  drawIn(host, () => part.counts.forEach((row, i) => shareOf(row).forEach((share, j) => {
    const back = mixed(colourOf(i === j ? "--c0" : "--c1"), colourOf("--grid"), Math.min(1, share * (i === j ? 1 : 2.5)));
    Object.assign(cells[i][j].style, { background: back, color: onColour(back) });
  })));
  return host;
}

/** For many classes: the matrix as a picture; the counts under the pointer. */
function confusionPicture(part) {
  const names = part.names, n = names.length, host = el("div", {}), tip = el("div", { class: "tip", hidden: true });
  const figure = el("figure", {}, el("figcaption", {}, "Confusion", el("small", {}, `${n} classes; blue is right, orange is wrong`)), host, tip);
  drawIn(host, () => {
    const size = Math.min(host.clientWidth, 460), cell = size / n;
    const root = svg("svg", { class: "plot", style: `width:${size}px`, height: size, viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": `Confusion matrix of ${n} classes; tables have recall, precision and the most frequent confusions` });
    root.append(svg("rect", { width: size, height: size, fill: "var(--grid)" }));
    part.counts.forEach((row, i) => shareOf(row).forEach((share, j) => share && root.append(svg("rect", { x: j * cell, y: i * cell, width: cell, height: cell, fill: `var(${i === j ? "--c0" : "--c1"})`, opacity: Math.min(1, .08 + share * (i === j ? 1 : 2.5)) }))));
    root.addEventListener("pointermove", event => {
      const box = root.getBoundingClientRect(), i = Math.floor((event.clientY - box.top) / cell), j = Math.floor((event.clientX - box.left) / cell);
      if (!(part.counts[i] && part.counts[i][j] != null)) return;
      tip.textContent = `${names[i]} taken for ${names[j]}: ${whole(part.counts[i][j])}`;
      tip.hidden = false; tip.style.left = Math.min((j + 1) * cell, size - 120) + "px"; tip.style.top = (i + 1) * cell + 40 + "px";
    });
    root.addEventListener("pointerleave", () => { tip.hidden = true; });
    host.replaceChildren(root);
  });
  return figure;
}
