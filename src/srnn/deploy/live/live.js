"use strict";
// The live page: where samples come from, and what is drawn of them. An engine, another script, runs the network:
//   engine.open()            its models and recordings, {models, recordings}
//   engine.sources(model)    what it can read besides, [[value, text], ...]; engine.live(kind) opens one of these
//   engine.recording(i)      the samples of recording i, Float32Array
//   engine.read(files)       [samples, notes, drift, names of channels] of files, as the network takes them
//   engine.connect()         begins a stream, from a saved state or anew; engine.leave() ends it
//   engine.run(place)        takes samples from the feed as time passes, and calls receive() with what the network did
const $ = id => document.getElementById(id);
const LINES = 16;         // input channels that are drawn one below another, each on its own scale
const colourOf = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colours = () => Array.from({ length: 10 }, (_, i) => colourOf("--c" + i));  // of this theme
const SHOWN = 4;          // seconds in view (steps / 100 where there is no time)
const PIECE = 0.04;       // seconds in a message

let models = [], recordings = [], model = null;
let feed = null, opening = null, running = false, lastState = null, dirty = true;
let begun = 0;  // place of the feed at which the stream began: a reset's, else the first
let view = null;  // what is drawn, see clear()

function say(text, bad) { $("status").textContent = text; $("status").className = bad ? "bad" : ""; }
function perSecond() { return model.step_seconds ? 1 / model.step_seconds : 100; }

function clear() {
  view = { input: [], sample: 0, spikes: [], membranes: [], answers: [], last: null, at: 0, count: 0, winner: "", said: 0, drift: "", names: [], tall: [] };
  $("label").textContent = "–"; $("label").className = "";
  for (const note of document.querySelectorAll("h2 span")) note.textContent = "";
  $("bars").replaceChildren(...model.classes.map((name, i) => {
    const row = document.createElement("div"), bar = document.createElement("i"), number = document.createElement("b"), text = document.createElement("span"), room = document.createElement("span");
    text.textContent = name; bar.style.background = text.style.borderLeftColor = `var(--c${i % 10})`; room.append(bar); row.append(text, room, number);
    return row;
  }));
  dirty = true;
}

function choose() {
  model = models.find(one => one.model === $("model").value);
  const options = recordings.filter(one => one.models.includes(model.model)).map(one => [`recording ${one.number}`, one.kept ? `example ${one.name}` : one.name]);
  if (model.form === "signal" && model.channels === 1 && model.rate >= 8000) options.push(["mic", "microphone"]);
  options.push(...engine.sources(model), ["file", "a file ..."], ["noise", "noise"]);
  $("source").replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  $("own").hidden = $("source").value !== "file";
  $("caution").hidden = !model.heart;
  $("answers-title").textContent = model.alarm ? "Score" : model.values ? "Values" : "Classes";
  $("answers").setAttribute("aria-label", model.alarm ? `Score over time; an alarm is above ${model.alarm.threshold}` : model.values ? "Values over time" : "Probability of each class over time");
  $("label").setAttribute("aria-live", model.values && !model.alarm ? "off" : "polite");  // a number changes all the time
  lastState = null; clear(); say(`${model.input}; the encoder's delay is ${+model.latency.toFixed(3)} ${model.rate ? "s" : "samples"}`);
}

// ---- where samples come from: feed.take(n) -> Float32Array of n samples at most, from feed.place on --------------------------

async function openFeed() {
  const kind = $("source").value, width = model.channels;
  if (kind === "mic") return openMicrophone();
  if (kind === "noise") {
    let level = new Float32Array(width);
    return { place: 0, take(n) { const out = new Float32Array(n * width); for (let i = 0; i < out.length; i++) { const c = i % width; level[c] = model.form === "steps" ? +(Math.random() < .05) : .98 * level[c] + .3 * (Math.random() - .5); out[i] = level[c]; } this.place += n; return out; }, close() {} };
  }
  if (!kind.startsWith("recording ") && kind !== "file") return engine.live(kind);
  let samples, notes = [], drift = "", names = null;
  if (kind === "file") {
    const files = [...$("file").files];
    if (!files.length) throw new Error("Choose a file first.");
    [samples, notes, drift, names] = await engine.read(files);
  } else {
    const number = +kind.split(" ")[1];
    samples = await engine.recording(number);
    names = recordings.find(one => one.number === number).channels;
  }
  return { place: 0, notes: notes.join("; "), drift, names, take(n) { const out = samples.subarray(this.place * width, (this.place + n) * width); this.place += out.length / width; return out; }, get over() { return this.place * width >= samples.length; }, close() {} };
}

async function openMicrophone() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false } });
  const context = new AudioContext({ sampleRate: model.rate });
  const code = "registerProcessor('tap', class extends AudioWorkletProcessor { process(i) { if (i[0][0]) this.port.postMessage(i[0][0].slice()); return true; } });";
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  await context.audioWorklet.addModule(url);
  URL.revokeObjectURL(url);
  const tap = new AudioWorkletNode(context, "tap"), heard = [];
  let count = 0;
  tap.port.onmessage = event => { heard.push(event.data); count += event.data.length; if (count > 10 * model.rate) count -= heard.shift().length; };
  context.createMediaStreamSource(stream).connect(tap).connect(context.destination);  // the tap puts out silence
  return {
    place: 0, live: true,
    take() { const out = new Float32Array(count); let at = 0; for (const part of heard) { out.set(part, at); at += part.length; } heard.length = 0; this.place += count; count = 0; return out; },
    close() { stream.getTracks().forEach(track => track.stop()); context.close(); },
  };
}

// ---- the stream ----------------------------------------------------------------------------------------------------------------

async function start() {
  if (running) return;
  running = true; $("go").textContent = "Stop"; lastState = null; begun = 0; clear();
  const asked = opening = {};  // by this start: a microphone waits for a permission, and Stop and Start may come before it
  let opened;
  try { opened = await openFeed(); } catch (error) { if (asked === opening) stop(error.message || String(error), true); return; }
  if (asked !== opening) return opened.close();
  feed = opened;
  view.names = feed.names || model.names || [];
  engine.connect();
}

function stop(text, bad) {
  running = false; opening = null; $("go").textContent = "Start";
  engine.leave();
  if (feed) { feed.close(); feed = null; }
  say(text || "stopped", bad);
}

function receive(message) {
  if (message.type === "ready") {
    if (!feed.live) feed.place = begun + message.samples;
    if (feed.drift) beUnsure(feed.drift);
    else if (!view.drift) say(message.samples ? `resumed at sample ${message.samples}` : feed.notes || "running");
    engine.run(feed.place);
  } else if (message.type === "trace") {
    // What came before already is computed again after a lost connection.
    if (message.sample < view.sample) view.input.splice(message.sample - view.sample);
    if (message.step < view.at) for (const name of ["spikes", "membranes", "answers"]) view[name].splice(message.step - view.at);
    message.input.forEach(row => view.input.push(row));
    view.sample = message.sample + message.input.length;
    message.spikes.forEach((layers, i) => { view.spikes.push(layers); view.membranes.push(message.membranes[i]); view.answers.push(null); });
    view.at = message.step + message.spikes.length;
  } else if (message.type === "decisions") {
    // Each in its step's place: none comes of a step at which the network rests. The signal's last steps come without a trace.
    message.steps.forEach((step, i) => {
      if (step >= view.at) { view.answers.push(null); view.at = step + 1; }
      const silent = !model.values && message.classes[i] === null;  // a lead is flat or off
      view.last = model.values ? message.values[i] : silent ? model.classes.map(() => 0) : message.probabilities[i];
      view.answers[view.answers.length - view.at + step] = silent ? null : view.last;
    });
    view.count += message.steps.length;
    view.winner = model.values ? inWords(view.last) : model.classes[message.classes.at(-1)] ?? message.states.at(-1);
    showLabel();
  } else if (message.type === "state") lastState = message.state;
  else if (message.type === "drift") beUnsure(message.drift);
  else if (message.type === "error") stop(message.message, true);
  else if (message.type === "end") showLabel(true), stop(`the signal ended: ${message.steps} steps` + (view.drift ? `; not sure: ${view.drift}` : ""), view.drift);
  const most = Math.round(SHOWN * perSecond());
  for (const name of ["spikes", "membranes", "answers"]) if (view[name].length > 2 * most) view[name].splice(0, view[name].length - most);
  const samples = Math.round(SHOWN * (model.rate || 100));
  if (view.input.length > 2 * samples) view.input.splice(0, view.input.length - samples);
  dirty = true;
}

// What is unlike training's recordings still gets a class, which means little.
function beUnsure(drift) {
  view.drift = drift;
  say("not sure: " + drift, true);
  showLabel();
}

// Values with names and units, and how far they usually are from the truth; or whether there is an alarm.
function inWords(values) {
  if (model.alarm) return (values[0] > model.alarm.threshold ? "ALARM" : "normal") + `, score ${values[0].toPrecision(3)}`;
  return model.values.map((one, i) => {
    const name = model.values.length > 1 ? one.name + " " : "", error = one.error === null ? "" : ` ± ${+one.error.toPrecision(2)}`;
    return name + +values[i].toPrecision(4) + error + (one.unit ? " " + one.unit : "");
  }).join(", ");
}

// A number that changes at every step can be read four times a second.
function showLabel(now) {
  const time = performance.now();
  if (!view.winner || (model.values && !now && time < view.said + 250)) return;
  view.said = time;
  const text = view.drift ? `not sure (${view.winner})` : view.winner;
  if ($("label").textContent !== text) $("label").textContent = text;
  $("label").className = model.alarm && view.last[0] > model.alarm.threshold ? "bad" : "";
}

// ---- drawing -------------------------------------------------------------------------------------------------------------------

const HEIGHTS = {};
for (const id of ["answers", "input", "spikes", "membranes"]) HEIGHTS[id] = +$(id).getAttribute("height");

function sheet(id) {
  const element = $(id), scale = window.devicePixelRatio || 1, width = Math.max(1, element.clientWidth), height = HEIGHTS[id];
  const w = Math.round(width * scale), h = Math.round(height * scale);
  if (element.width !== w || element.height !== h) { element.width = w; element.height = h; element.style.height = height + "px"; }
  const pen = element.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

function traces(id, rows, most, own) {
  const shown = rows.slice(-most), count = shown.length ? shown[shown.length - 1].length : 0;
  own = own && count > 1 && count <= LINES;
  if (own) HEIGHTS[id] = Math.max(120, 30 * count);
  const { pen, width, height } = sheet(id), room = own ? height / count : height, palette = colours();
  if (!count) return;
  const stride = Math.max(1, Math.floor(shown.length / (2 * width)));  // no more points than can be seen
  const range = (first, end) => {
    let low = Infinity, high = -Infinity;
    for (const row of shown) for (let c = first; c < end; c++) { if (row[c] < low) low = row[c]; if (row[c] > high) high = row[c]; }
    return [low, high];
  };
  const words = ([low, high]) => `${+low.toPrecision(3)} to ${+high.toPrecision(3)}`, whole = own ? null : range(0, count);
  for (let c = 0; c < count; c++) {
    const [low, high] = own ? range(c, c + 1) : whole, bottom = own ? (c + 1) * room : height;
    pen.strokeStyle = palette[c % 10]; pen.lineWidth = 1.2; pen.beginPath();
    for (let i = 0; i < shown.length; i += stride) {
      const x = (most - shown.length + i) / most * width, y = bottom - 4 - (high > low ? (shown[i][c] - low) / (high - low) : .5) * (room - 8);
      i ? pen.lineTo(x, y) : pen.moveTo(x, y);
    }
    pen.stroke();
    if (own) {
      const unit = (model.units || [])[c];
      caption(pen, `${(model.names || [])[c] || c + 1}: ${words([low, high])}${unit ? " " + unit : ""}`, bottom - room);
    }
  }
  $(id + "-note").textContent = own ? `${count} channels, each on its own scale` : words(whole);
}

function caption(pen, text, top) {
  pen.font = "11px system-ui, sans-serif"; pen.fillStyle = colourOf("--panel"); pen.globalAlpha = .8;
  pen.fillRect(0, top + 1, pen.measureText(text).width + 6, 14);
  pen.globalAlpha = 1; pen.fillStyle = colourOf("--soft"); pen.fillText(text, 3, top + 12);
}

// Where rows in a row fulfil something: [first, end] of each stretch.
function stretches(rows, test) {
  const found = [];
  rows.forEach((row, i) => {
    if (!row || !test(row)) return;
    if (found.length && found.at(-1)[1] === i) found.at(-1)[1]++;
    else found.push([i, i + 1]);
  });
  return found;
}

/** Each value over time, one below another, in a band of its usual error; a score, up to four times the threshold of alarms, which are
 *  marked. */
function valuesOverTime(rows, most) {
  HEIGHTS.answers = 110 * model.values.length;
  const { pen, width, height } = sheet("answers"), room = height / model.values.length, palette = colours();
  const x = i => (most - rows.length + i - model.label_lag) / most * width;  // beside what it names
  model.values.forEach((one, c) => {
    const known = rows.filter(row => row).map(row => row[c]), error = one.error || 0, limit = model.alarm ? model.alarm.threshold : null;
    if (!known.length) return;
    const least = known.reduce((a, b) => Math.min(a, b)), largest = known.reduce((a, b) => Math.max(a, b));
    const [low, high] = model.alarm ? [0, limit * Math.max(1.25, Math.min(4, largest / limit))] : [least - error, largest + error];
    const part = value => high > low ? Math.max(0, Math.min(1, (value - low) / (high - low))) : .5;
    const y = value => (c + 1) * room - 4 - part(value) * (room - 24);
    pen.globalAlpha = .2;
    pen.fillStyle = colourOf("--warn");
    for (const [first, end] of limit === null ? [] : stretches(rows, row => row[c] > limit)) pen.fillRect(x(first), c * room, x(end) - x(first), room);
    pen.fillStyle = palette[c % 10];
    for (const [first, end] of error ? stretches(rows, () => true) : []) {
      pen.beginPath();
      for (let i = first; i < end; i++) pen.lineTo(x(i), y(rows[i][c] + error));
      for (let i = end - 1; i >= first; i--) pen.lineTo(x(i), y(rows[i][c] - error));
      pen.fill();
    }
    pen.globalAlpha = 1; pen.strokeStyle = palette[c % 10]; pen.lineWidth = 1.5; pen.beginPath();
    for (const [first, end] of stretches(rows, () => true)) for (let i = first; i < end; i++) i > first ? pen.lineTo(x(i), y(rows[i][c])) : pen.moveTo(x(i), y(rows[i][c]));
    pen.stroke();
    caption(pen, `${model.values.length > 1 ? one.name + ": " : ""}${+least.toPrecision(3)} to ${+largest.toPrecision(3)}${one.unit ? " " + one.unit : ""}`, c * room);
    if (limit === null) return;
    pen.strokeStyle = colourOf("--warn"); pen.lineWidth = 1; pen.setLineDash([6, 4]); pen.beginPath();
    pen.moveTo(0, y(limit)); pen.lineTo(width, y(limit)); pen.stroke(); pen.setLineDash([]);
  });
}

/** The leads of an ECG in mV, as on paper: a small square is 0.04 s and 0.1 mV, a large one 0.2 s and 0.5 mV. */
function paper(rows, most) {
  const shown = rows.slice(-most), mm = Math.max(1, $("input").clientWidth) / (25 * SHOWN), leads = model.channels;
  const low = Array(leads).fill(0);
  for (let c = 0; c < leads; c++) {
    let bottom = Infinity, top = -Infinity;
    for (const row of shown) { if (row[c] < bottom) bottom = row[c]; if (row[c] > top) top = row[c]; }
    if (!shown.length) bottom = top = 0;
    view.tall[c] = Math.max(view.tall[c] || 1.5, Math.min(5, Math.ceil(2 * (top - bottom) + 1) / 2));  // mV; a row never shrinks
    low[c] = Math.round(10 * ((bottom + top - view.tall[c]) / 2)) / 10;
  }
  HEIGHTS.input = Math.round(10 * mm * view.tall.reduce((all, one) => all + one, 0));
  const { pen, width, height } = sheet("input"), scrolled = view.sample / model.rate * 25 % 5;
  for (const [step, colour] of [[1, "--grid"], [5, "--bold"]]) {
    pen.strokeStyle = colourOf(colour); pen.lineWidth = 1; pen.beginPath();
    for (let x = width - scrolled % step * mm; x > 0; x -= step * mm) { pen.moveTo(x, 0); pen.lineTo(x, height); }
    for (let y = height; y > 0; y -= step * mm) { pen.moveTo(0, y); pen.lineTo(width, y); }
    pen.stroke();
  }
  if (!shown.length) return;
  pen.font = "600 12px system-ui, sans-serif"; pen.lineJoin = "round"; pen.lineWidth = 1.3;
  let bottom = 0;
  for (let c = 0; c < leads; c++) {
    bottom += 10 * mm * view.tall[c];
    const place = value => bottom - 10 * mm * (value - low[c]), top = bottom - 10 * mm * view.tall[c];
    pen.save(); pen.beginPath(); pen.rect(0, top, width, bottom - top); pen.clip();  // no lead runs into another
    pen.strokeStyle = colourOf("--front"); pen.beginPath();
    shown.forEach((row, i) => pen.lineTo((most - shown.length + i) / most * width, place(row[c])));
    pen.stroke(); pen.restore();
    const name = view.names[c] || `lead ${c + 1}`;
    pen.fillStyle = colourOf("--panel"); pen.globalAlpha = .85; pen.fillRect(0, top + 2, pen.measureText(name).width + 8, 16);
    pen.globalAlpha = 1; pen.fillStyle = colourOf("--front"); pen.fillText(name, 4, top + 14);
  }
  $("input-note").textContent = "mV; 25 mm/s, 10 mm/mV; a large square is 0.2 s, 0.5 mV";
}

function draw() {
  requestAnimationFrame(draw);
  if (!dirty || !model || !view) return;
  dirty = false;
  const most = Math.round(SHOWN * perSecond());
  if (model.heart) paper(view.input, Math.round(SHOWN * model.rate));
  else traces("input", view.input, Math.round(SHOWN * (model.rate || 100)), true);
  traces("membranes", view.membranes, most);
  const palette = colours(), raster = sheet("spikes"), spikes = view.spikes.slice(-most);
  let total = 0, fired = 0;
  if (spikes.length) {
    model.hidden.forEach(size => { total += size; });
    const dot = Math.max(1, raster.height / total - .5), across = Math.max(1, raster.width / most);
    spikes.forEach((step, i) => {
      const x = (most - spikes.length + i) / most * raster.width;
      let base = 0;
      step.forEach((list, layer) => {
        raster.pen.fillStyle = palette[layer % 10];
        for (const n of list) raster.pen.fillRect(x, (base + n) / total * raster.height, across, dot);
        fired += list.length; base += model.hidden[layer];
      });
    });
    $("spikes-note").textContent = `${total} neurons, ${(fired / spikes.length / total).toFixed(3)} spikes per neuron and step` + (model.hidden.length > 1 ? "; a colour for each layer, the first on top" : "");
  }
  const rows = view.answers.slice(-most);
  if (model.values) valuesOverTime(rows, most);
  else classesOverTime(rows, most);
  const last = view.last;
  if (last) [...$("bars").children].forEach((row, c) => { row.querySelector("i").style.width = 100 * last[c] + "%"; row.querySelector("b").textContent = last[c] === null ? "" : Math.round(100 * last[c]) + " %"; });
  $("answers-note").textContent = model.step_seconds ? `${(view.at * model.step_seconds).toFixed(1)} s, ${view.at} steps; ${SHOWN} s in view` : `${view.at} steps; ${most} in view`;
  if (model.label_lag) $("answers-note").textContent += `; named ${model.label_lag} steps later`;
  if (model.values && model.values.some(one => one.error)) $("answers-note").textContent += "; ± its error in validation (RMSE)";
}

function classesOverTime(rows, most) {
  HEIGHTS.answers = 80;
  const strip = sheet("answers"), palette = colours();
  rows.forEach((row, i) => {
    if (!row || view.at - rows.length + i < model.label_lag) return;  // a rest, or of what was before the signal
    const x = (most - rows.length + i - model.label_lag) / most * strip.width;  // beside what it names
    let y = strip.height;
    row.forEach((p, c) => { strip.pen.fillStyle = palette[c % 10]; strip.pen.fillRect(x, y - p * strip.height, strip.width / most + .6, p * strip.height + .5); y -= p * strip.height; });
  });
}

// ---- controls ------------------------------------------------------------------------------------------------------------------

function toggle() { running ? stop() : start(); }
function turnTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  dirty = true;
}
$("go").onclick = toggle;
$("reset").onclick = () => { lastState = null; begun = feed ? feed.place : 0; clear(); if (running && feed) engine.connect(); };
$("theme").onclick = turnTheme;
$("model").onchange = () => { stop(); choose(); };
$("source").onchange = () => { stop(); $("own").hidden = $("source").value !== "file"; };
addEventListener("resize", () => { dirty = true; });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { dirty = true; });
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(SELECT|INPUT)$/.test(event.target.tagName)) return;
  if (event.key === " " && event.target.tagName !== "BUTTON") { event.preventDefault(); toggle(); }
  else if (event.key === "t" || event.key === "T") turnTheme();
  else if (event.key === "r" || event.key === "R") $("reset").click();
});

// A file may also be dropped on the page.
addEventListener("dragover", event => event.preventDefault());
addEventListener("drop", event => {
  event.preventDefault();
  if (!event.dataTransfer.files.length || !model) return;
  stop();
  $("file").files = event.dataTransfer.files; $("source").value = "file"; $("own").hidden = false;
  start();
});

async function begin() {
  try {
    ({ models, recordings } = await engine.open());
    $("file").accept = engine.accepts;
    if (engine.about) $("about").textContent = engine.about + " · ";
    $("model").replaceChildren(...models.map(one => new Option(`${one.model} (${one.task})`, one.model)));
    $("model").parentElement.hidden = models.length < 2;
    if (models.length === 1) document.title = document.querySelector("h1").textContent = models[0].model;
    choose();
    requestAnimationFrame(draw);
    const first = recordings.find(one => `recording ${one.number}` === $("source").value);
    if (first && first.kept && !matchMedia("(prefers-reduced-motion: reduce)").matches) start();
  } catch (error) { say(error.message || String(error), true); }
}
