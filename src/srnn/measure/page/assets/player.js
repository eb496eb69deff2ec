// Real sequences, step by step: a slider moves through input, labels, spikes, membranes and probabilities. Future steps are dimmed.

const CLASSES = DATA.task.class_names, LONG = CLASSES.some(name => name.length > 10);
const VALUES = DATA.task.values;  // of a network that names no class
const inWords = (value, i) => short(value) + (VALUES[i].unit ? " " + VALUES[i].unit : "");
const classColour = i => `--c${i % 10}`;  // everywhere, the live page included
const layerColour = i => `--c${[0, 2, 3, 6][i % 4]}`;

function player(samples) {
  const { sequences, watched, substeps } = samples, stepMs = DATA.task.step_ms;
  const state = { sample: null, step: 0, first: 0, count: 1, playing: null };
  const slider = el("input", { type: "range", id: "step", min: "1", step: "1", "aria-label": "Time step" });
  const play = el("button", { type: "button", class: "main" }, "Play");
  const back = el("button", { type: "button", "aria-label": "One step back" }, "‹"), on = el("button", { type: "button", "aria-label": "One step on" }, "›");
  const clock = el("span", { id: "clock" }), view = el("select", { id: "view" });
  const verdict = el("div", { class: "verdict", id: "verdict" }), truth = el("div", { class: "truth" }), confidences = el("ul", { class: LONG ? "confidences long" : "confidences" });
  const tracks = el("div", {}), note = el("p", { class: "note" });
  let shown = [];  // tracks of the sample: {canvas, draw(context, width, height), base}

  const name = one => VALUES
    ? `${one.group || "no. " + one.index}${one.error === null ? "" : ` · off by ${inWords(one.error, 0)}`}`
    : DATA.task.per_step
    ? `${one.group || "no. " + one.index} · ${one.labelled_steps ? percent(one.right_steps / one.labelled_steps, 0) : "no label"}`
    : `no. ${one.index} · ${CLASSES[one.true] ?? "no label"} ${one.right ? "✓" : "→ " + CLASSES[one.predicted]}`;

  function choose(number) {
    stop();
    const one = sequences[number];
    state.sample = open(one);
    state.count = one.shown; state.first = 0;
    view.replaceChildren(el("option", { value: one.shown }, "all"), ...[500, 250, 100].filter(n => n < one.shown * .8).map(n => el("option", { value: n }, `${n} steps` + (stepMs ? `, ${inTime(n, stepMs)}` : ""))));
    slider.max = one.shown; state.step = one.shown;
    shown = makeTracks(state.sample, watched, substeps);
    tracks.replaceChildren(...shown.map(track => track.element));
    note.replaceChildren(one.shown < one.steps ? `The first ${whole(one.shown)} of ${whole(one.steps)} steps are shown, to keep this page small. ` : "",
      one.exit ? `Early exit: the network would decide for ${CLASSES[one.exit.class]} after step ${one.exit.steps}. ` : "");
    redraw();
  }

  function redraw() { shown.forEach(track => { track.base = null; }); draw(); }

  function draw() {
    const first = state.count >= state.sample.shown ? 0 : Math.min(Math.floor((state.step - 1) / state.count) * state.count, state.sample.shown - state.count);
    if (first !== state.first) { state.first = first; shown.forEach(track => { track.base = null; }); }
    shown.forEach(track => paint(track, state));
    tell();
  }

  function tell() {
    const { sample, step } = state, t = step - 1;
    slider.value = step;
    clock.textContent = `step ${whole(step)} of ${whole(sample.shown)}` + (stepMs ? ` · ${inTime(step, stepMs)}` : "");
    if (VALUES) return tellValues(sample, t);
    const decided = sample.decisions ? sample.decisions.get(t) : sample.one.predicted, label = sample.labels ? sample.labels.get(t) : sample.one.true;
    const said = CLASSES[decided] ?? "a lead is flat or off";
    verdict.replaceChildren(decided < 0 ? "" : el("i", { style: `background:var(${classColour(decided)})` }), said);
    truth.textContent = label < 0 ? "no label here" : label === decided ? `right: it is ${CLASSES[label]}` : `it is ${CLASSES[label]}`;
    slider.setAttribute("aria-valuetext", `step ${step}, decision ${said}, ${truth.textContent}`);
    let order = CLASSES.map((_, i) => i);
    if (order.length > 10) order = order.sort((a, b) => sample.probabilities.get(t, b) - sample.probabilities.get(t, a)).slice(0, 8);
    confidences.replaceChildren(...order.map(i => {
      const p = sample.probabilities.get(t, i);
      return el("li", { class: i === label ? "true" : null }, el("span", {}, CLASSES[i]), el("span", { class: "bar" }, el("i", { style: `width:${100 * p}%;background:var(${classColour(i)})` })), el("b", {}, percent(p, 0)));
    }));
  }

  function tellValues(sample, t) {
    const words = values => VALUES.map((one, i) => (VALUES.length > 1 ? one.name + " " : "") + (values[i] === null ? NONE : inWords(values[i], i))).join(", ");
    const said = VALUES.map((_, i) => sample.probabilities.get(t, i)), known = VALUES.map((_, i) => sample.known.get(t, i) ? sample.targets.get(t, i) : null);
    verdict.replaceChildren(words(said));
    truth.textContent = known.every(value => value === null) ? "no target here" : `it is ${words(known)}`;
    slider.setAttribute("aria-valuetext", `step ${t + 1}, ${verdict.textContent}, ${truth.textContent}`);
  }

  function go(step) { state.step = Math.max(1, Math.min(state.sample.shown, Math.round(step))); draw(); }
  function stop() { if (state.playing) { clearInterval(state.playing); cancelAnimationFrame(state.playing); } state.playing = null; play.textContent = "Play"; }
  function start() {
    if (state.step >= state.sample.shown) go(1);
    play.textContent = "Pause";
    const length = state.sample.shown;
    if (CALM) {  // no motion is wanted: a few still pictures instead
      state.playing = setInterval(() => { go(state.step + length / 16); if (state.step >= length) stop(); }, 900);
      return;
    }
    const from = state.step, began = performance.now(), speed = length / Math.min(14000, Math.max(2500, length * 60));
    const frame = now => {
      go(from + (now - began) * speed);
      if (state.step < length) state.playing = requestAnimationFrame(frame); else stop();
    };
    state.playing = requestAnimationFrame(frame);
  }

  slider.addEventListener("input", () => { stop(); go(Number(slider.value)); });
  play.addEventListener("click", () => state.playing ? stop() : start());
  back.addEventListener("click", () => { stop(); go(state.step - 1); });
  on.addEventListener("click", () => { stop(); go(state.step + 1); });
  view.addEventListener("change", () => { state.count = Number(view.value); redraw(); });
  const point = event => {
    if (event.target.tagName !== "CANVAS" || (event.type === "pointermove" && !event.buttons)) return;
    const box = event.target.getBoundingClientRect();
    stop(); go(state.first + Math.ceil((event.clientX - box.left) / box.width * state.count));
  };
  tracks.addEventListener("pointerdown", point); tracks.addEventListener("pointermove", point);
  drawIn(tracks, redraw);

  const made = el("div", {},
    chips("sample", VALUES ? "Sequence" : DATA.task.per_step ? "Sequence · correct labelled steps" : "Sequence · true class", sequences.map((one, i) => [i, name(one)]), 0, choose),
    el("div", { class: "controls" }, play, back, on, clock, el("label", {}, "in view", view)),
    el("div", { class: "player" }, el("div", {}, slider, tracks), el("div", { class: "now" }, verdict, truth, confidences)), note);
  choose(0);
  return made;
}

/** A sequence with its arrays unpacked. Where a lead of an ECG is flat or off there is no decision: -1. */
function open(one) {
  const maybe = packed => packed ? unpack(packed) : null;
  const dead = maybe(one.dead), said = maybe(one.decisions), decisions = dead && said ? { get: t => dead.get(t) ? -1 : said.get(t) } : said;
  return {
    one, shown: one.shown, input: { kind: one.input.kind, values: one.input.kind === "lines" ? one.input.values.map(unpack) : unpack(one.input.values), negative: maybe(one.input.negative) },
    labels: maybe(one.labels), decisions, targets: maybe(one.targets), known: maybe(one.known), probabilities: unpack(one.probabilities), layers: one.layers.map(unpack),
    leads: (one.leads || []).map(({ name, mv }) => ({ name, mv: unpack(mv) })),
    membranes: one.membranes.map(layer => layer && { u: unpack(layer.u), threshold: maybe(layer.threshold) }),
  };
}

// ---- tracks ------------------------------------------------------------------------------------------------------------------------

function makeTracks(sample, watched, substeps) {
  const found = [], input = sample.input;
  const heatWords = array => `faint ${short(array.low)}, strong ${short(array.high)}`;
  // keys: [[colour, what it means], ...]. Without a title it is the axis.
  const add = (title, more, height, draw, keys = []) => {
    const canvas = el("canvas", title ? { role: "img", "aria-label": title + (more ? ", " + more : "") } : { class: "clear", "aria-hidden": "true" });
    const legend = keys.map(([colour, text]) => el("span", { class: "key" }, el("i", { style: `background:var(${colour})` }), text));
    found.push({ canvas, height, draw, base: null, element: el("div", { class: "track" }, title && el("h3", {}, title, el("small", {}, more, legend)), canvas) });
  };
  sample.leads.forEach(({ name, mv }) => add(`Lead ${name}`, "mV; 25 mm/s, 10 mm/mV: a large square is 0.2 s, 0.5 mV", paperHeight(mv), paper(mv)));
  if (DATA.input_pairs.length && input.kind === "events") DATA.input_pairs.forEach((name, i) => add(`Input: ${name}`, "", 62, lead(input, 2 * i, 2 * i + 1), [["--c2", "up"], ["--c3", "down"], ["--ink", "their running sum, leaking"]]));
  else if (input.kind === "events") add("Input", `events on ${whole(input.values.columns)} channels`, rows(input.values.columns), raster([input.values, input.negative], ["--ink", "--c1"], 1), input.negative ? [["--ink", "+1"], ["--c1", "−1"]] : []);
  else if (input.kind === "lines") input.values.forEach((channel, n) => add(input.values.length > 1 ? `Input: channel ${n + 1}` : "Input", `${short(channel.low)} to ${short(channel.high)}`, input.values.length > 3 ? 40 : 60, lines(channel, [0], ["--ink"], 1)));
  else add("Input", `${whole(input.values.columns)} channels; ${heatWords(input.values)}`, rows(input.values.columns), heat(input.values, "--ink", 1));
  if (sample.labels) {
    const late = DATA.task.label_lag, ms = DATA.task.step_ms;
    add("True class", late ? `of ${late} steps${ms ? ` (${short(late * ms)} ms)` : ""} before` : "", 20, band(sample.labels));
    add("Decision", DATA.network.bidirectional ? "at each step, bidirectional" : "at each step, from the steps read so far", 20, band(sample.decisions));
  }
  sample.layers.forEach((layer, i) => add(`Layer ${i + 1}`, `${layer.type === "bits" ? "spikes" : "activity"} of ${layer.columns} ${watched[i].kind} ${watched[i].spiking ? "neurons" : "units"}` + (layer.type === "bits" ? "" : `; ${heatWords(layer)}`), rows(layer.columns),
    layer.type === "bits" ? raster([layer], [layerColour(i)], substeps) : heat(layer, layerColour(i), substeps)));
  sample.membranes.forEach((layer, i) => layer && watched[i].neurons.forEach((neuron, n) => add(`Membrane, layer ${i + 1}, neuron ${neuron}`, (n === 0 ? "the most active" : n === watched[i].neurons.length - 1 ? layer.threshold ? "the least active that fires" : "the least active that is ever above 0" : "the median") + (layer.threshold ? "; dashed: its threshold" + (sample.layers[i].type === "bits" ? "; ticks: its spikes" : "") : ""), 52,
    membrane(layer, n, sample.layers[i], neuron, layerColour(i), substeps))));
  const many = CLASSES.length > 12;
  if (VALUES) VALUES.forEach((one, i) => add(one.name[0].toUpperCase() + one.name.slice(1), DATA.task.per_step ? "at each step, from the steps read so far" : "if the signal ended here", 100, values(sample, i),
    [[classColour(i), one.unit ? `answer, ${one.unit}` : "answer"], ["--ink", "dashed: target"]]));
  else add("Probability of each class", DATA.task.per_step || DATA.network.bidirectional ? "softmax of the output, 0 to 1" : "if the signal ended here, 0 to 1", many ? rows(CLASSES.length) : 100,
    many ? heat(sample.probabilities, "--accent", 1, [0, 1]) : lines(sample.probabilities, CLASSES.map((_, i) => i), CLASSES.map((_, i) => classColour(i)), 1, [0, 1], sample.one.exit && sample.one.exit.steps),
    many ? [["--accent", "strong: likely; a row for each class, the first on top"]] : CLASSES.map((name, i) => [classColour(i), name]));
  add("", "", 20, axis);
  return found;
}

const rows = count => Math.round(Math.max(36, Math.min(170, count * (count > 100 ? 1.2 : count > 40 ? 2 : 4))));

/** Put a track on the screen: its picture (kept until what is in view changes), a veil over what is to come, the cursor. */
function paint(track, state) {
  const { canvas } = track, scale = devicePixelRatio || 1, width = canvas.clientWidth;
  if (!width) return;
  const height = typeof track.height === "function" ? track.height(width, Math.min(state.count, state.sample.shown)) : track.height;
  if (!track.base || canvas.width !== Math.round(width * scale)) {
    canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale); canvas.style.height = height + "px";
    track.base = document.createElement("canvas");
    track.base.width = canvas.width; track.base.height = canvas.height;
    const context = track.base.getContext("2d");
    context.scale(scale, scale);
    track.draw(context, width, height, state.first, Math.min(state.count, state.sample.shown));
  }
  const context = canvas.getContext("2d"), count = Math.min(state.count, state.sample.shown), x = (state.step - state.first) / count * canvas.width;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(track.base, 0, 0);
  if (track.draw === axis) return;
  context.fillStyle = colourOf("--card"); context.globalAlpha = .74; context.fillRect(x, 0, canvas.width - x, canvas.height); context.globalAlpha = 1;
  if (x < canvas.width) { context.fillStyle = colourOf("--accent"); context.fillRect(x - scale, 0, 1.5 * scale, canvas.height); }
}

// Each makes draw(context, width, height, first step, number of steps). Arrays may have several rows a step (substeps).

function raster(arrays, colours, per) {
  return (context, width, height, first, count) => arrays.forEach((array, a) => {
    if (!array) return;
    const w = Math.max(1.1, width / (count * per) * .9), row = height / array.columns, h = Math.max(1, Math.min(6, row * .8));
    context.fillStyle = colourOf(colours[a]);
    for (let t = first * per; t < Math.min((first + count) * per, array.rows); t++) for (let n = 0; n < array.columns; n++)
      if (array.get(t, n)) context.fillRect((t / per - first) / count * width, n * row + (row - h) / 2, w, h);
  });
}

function heat(array, colour, per, [low, high] = [array.low, array.high]) {
  return (context, width, height, first, count) => {
    const picture = document.createElement("canvas"), steps = Math.min(count * per, array.rows - first * per);
    picture.width = steps; picture.height = array.columns;
    const inner = picture.getContext("2d"), image = inner.createImageData(steps, array.columns), scale = high - low || 1;
    inner.fillStyle = colourOf(colour); inner.fillRect(0, 0, 1, 1);
    const [r, g, b] = inner.getImageData(0, 0, 1, 1).data;
    for (let t = 0; t < steps; t++) for (let n = 0; n < array.columns; n++)
      image.data.set([r, g, b, 235 * (array.type === "bits" ? array.get(first * per + t, n) : (array.get(first * per + t, n) - low) / scale)], 4 * (n * steps + t));
    inner.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, steps / (count * per) * width, height);
  };
}

function band(labels) {
  return (context, width, height, first, count) => {
    for (let t = first; t < first + count;) {
      const label = labels.get(t), from = t;
      while (t < first + count && labels.get(t) === label) t++;
      if (label < 0) continue;
      const x = (from - first) / count * width, w = (t - from) / count * width;
      context.fillStyle = colourOf(classColour(label));
      context.fillRect(x, 0, Math.max(w, .8), height);
      context.font = "600 11px system-ui, sans-serif";
      if (w > context.measureText(CLASSES[label]).width + 5) {
        context.fillStyle = onColour(colourOf(classColour(label))); context.textAlign = "center"; context.textBaseline = "middle";
        context.fillText(CLASSES[label], x + w / 2, height / 2 + .5);
      }
    }
  };
}

function curve(context, width, height, first, count, per, value, [low, high], colour, thick, dash) {
  context.beginPath(); context.strokeStyle = colourOf(colour); context.lineWidth = thick; context.lineJoin = "round"; context.setLineDash(dash || []);
  const places = count * per === 1 ? [0, 1] : [.5];  // one step alone is as wide as it is: a line of one point cannot be seen
  for (let t = first * per; t < (first + count) * per; t++) {
    const y = height - 3 - (high > low ? (value(t) - low) / (high - low) : .5) * (height - 6);  // a constant in the middle
    for (const place of places) context.lineTo(((t + place) / per - first) / count * width, y);
  }
  context.stroke(); context.setLineDash([]);
}

function lines(array, columns, colours, per, range, mark) {
  return (context, width, height, first, count) => {
    columns.forEach((n, i) => curve(context, width, height, first, count, per, t => array.get(Math.min(t, array.rows - 1), n), range || [array.low, array.high], colours[i], 1.8));
    if (mark && mark > first && mark <= first + count) {
      const x = (mark - first) / count * width;
      context.setLineDash([2, 3]); context.strokeStyle = colourOf("--ink"); context.lineWidth = 1; context.beginPath(); context.moveTo(x, 0); context.lineTo(x, height); context.stroke(); context.setLineDash([]);
      context.font = "11px system-ui, sans-serif"; context.fillStyle = colourOf("--ink"); context.textAlign = x > width / 2 ? "right" : "left"; context.textBaseline = "top";
      context.fillText("early exit", x + (x > width / 2 ? -5 : 5), 3);
    }
  };
}

/** An answer over time, and its target. */
function values(sample, n) {
  const { probabilities: said, targets, known } = sample;
  return (context, width, height, first, count) => {
    const seen = [], end = Math.min(first + count, said.rows);
    for (let t = first; t < end; t++) { seen.push(said.get(t, n)); if (known.get(t, n)) seen.push(targets.get(t, n)); }
    const range = extent(seen), at = t => Math.min(t, said.rows - 1);
    curve(context, width, height, first, count, 1, t => known.get(at(t), n) ? targets.get(at(t), n) : NaN, range, "--ink", 1.2, [4, 3]);
    curve(context, width, height, first, count, 1, t => said.get(at(t), n), range, classColour(n), 1.8);
  };
}

function membrane(layer, n, spikes, neuron, colour, per) {
  return (context, width, height, first, count) => {
    const u = layer.u, last = u.rows - 1, values = [];
    for (let t = first * per; t < Math.min((first + count) * per, u.rows); t++) { values.push(u.get(t, n)); if (layer.threshold) values.push(layer.threshold.get(t, n)); }
    const range = extent(values);
    if (layer.threshold && spikes.type === "bits") {  // a tick above each spike, where it belongs
      context.fillStyle = colourOf(colour);
      for (let t = first * per; t < Math.min((first + count) * per, spikes.rows); t++) if (spikes.get(t, neuron)) context.fillRect((t / per - first) / count * width, 0, Math.max(1.2, width / count / per * .6), 5);
    }
    context.save(); context.translate(0, 6);
    if (layer.threshold) curve(context, width, height - 6, first, count, per, t => layer.threshold.get(Math.min(t, last), n), range, "--soft", 1, [4, 3]);
    curve(context, width, height - 6, first, count, per, t => u.get(Math.min(t, last), n), range, colour, 1.5);
    context.restore();
  };
}

// A lead in mV, as on paper: a small square is 0.04 s and 0.1 mV, a large one 0.2 s and 0.5 mV.
const millimetre = (width, count) => width / (count * DATA.task.step_ms / 40);
const paperRange = mv => [Math.floor(2 * mv.low) / 2, Math.max(Math.ceil(2 * mv.high) / 2, Math.floor(2 * mv.low) / 2 + 1)];

/** A square is as high as it is wide, unless only little is in view. */
function paperHeight(mv) {
  const [low, high] = paperRange(mv);
  return (width, count) => Math.round(Math.max(60, Math.min(260, 10 * millimetre(width, count) * (high - low))));
}

function paper(mv) {
  const [low, high] = paperRange(mv);
  return (context, width, height, first, count) => {
    const mm = millimetre(width, count), tenth = height / (high - low) / 10, begin = first * DATA.task.step_ms / 40;
    for (const [step, colour] of [[1, "--square"], [5, "--large"]]) {
      if (step * Math.min(mm, tenth) < 2.5) continue;  // too fine to be seen
      context.strokeStyle = colourOf(colour); context.lineWidth = 1; context.beginPath();
      for (let x = (Math.ceil(begin / step) * step - begin) * mm; x < width; x += step * mm) { context.moveTo(x, 0); context.lineTo(x, height); }
      for (let y = height; y > 0; y -= step * tenth) { context.moveTo(0, y); context.lineTo(width, y); }
      context.stroke();
    }
    context.strokeStyle = colourOf("--ink"); context.lineWidth = 1.3; context.lineJoin = "round"; context.beginPath();
    for (let t = first; t < first + count; t++) context.lineTo((t + .5 - first) / count * width, height - (mv.get(t, 0) - low) * 10 * tenth);
    context.stroke();
  };
}

/** A lead of the electrocardiogram: its events, and their running sum, which forgets slowly so that it does not drift away. */
function lead(input, up, down) {
  const count = input.values.rows, sum = new Float64Array(count);
  for (let t = 0, level = 0; t < count; t++) sum[t] = level = level * .985 + input.values.get(t, up) - input.values.get(t, down);
  const range = extent([...sum]);
  return (context, width, height, first, steps) => {
    const w = Math.max(1, width / steps * .8);
    for (let t = first; t < first + steps; t++) {
      const x = (t - first) / steps * width;
      if (input.values.get(t, up)) { context.fillStyle = colourOf("--c2"); context.fillRect(x, 0, w, 7); }
      if (input.values.get(t, down)) { context.fillStyle = colourOf("--c3"); context.fillRect(x, height - 7, w, 7); }
    }
    context.save(); context.translate(0, 9);
    curve(context, width, height - 18, first, steps, 1, t => sum[Math.min(t, count - 1)], range, "--ink", 1.5);
    context.restore();
  };
}

/** The time below all tracks. */
function axis(context, width, height, first, count) {
  const ms = DATA.task.step_ms, inSeconds = ms && count * ms > 3000, unit = ms ? (inSeconds ? ms / 1000 : ms) : 1;
  context.font = "12px system-ui, sans-serif"; context.fillStyle = colourOf("--soft"); context.textBaseline = "top";
  let end = -9;  // of the last word
  for (const v of ticks(first * unit, (first + count) * unit, Math.max(2, width / 95))) {
    const x = (v / unit - first) / count * width, word = `${short(v)} ${ms ? (inSeconds ? "s" : "ms") : v === 1 ? "step" : "steps"}`;
    const size = context.measureText(word).width, left = Math.max(0, Math.min(x - size / 2, width - size));
    context.fillRect(Math.min(x, width - 1), 0, 1, 4);
    if (left < end + 8) continue;
    context.textAlign = "left"; context.fillText(word, left, 6); end = left + size;
  }
}
