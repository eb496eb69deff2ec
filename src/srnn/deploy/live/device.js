// The engine of a page that needs no server: the network's exported C, compiled to WebAssembly. Nothing leaves the device.
const PAGE = JSON.parse($("page-data").textContent);  // deploy/export/web.py writes it
const KINDS = { float: Float32Array, int32: Int32Array, int16: Int16Array, int8: Int8Array };
const CHECKED = 5;  // seconds from which a live signal is compared with those of training

const bytesOf = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
let device = null, leads = null, timer = 0, heardSoFar = [];

// What a value is as a sample of the C library: half to even, and clamped, as in NAME_main.c.
function asSample(value, channel, { sample, counts }) {
  if (sample === "float") return value;
  const number = value * (counts ? counts[channel] : 1), limit = 2 ** (8 * KINDS[sample].BYTES_PER_ELEMENT - 1);
  const below = Math.floor(number), rest = number - below, whole = below + (rest > .5 || (rest === .5 && below % 2 !== 0));
  return Math.max(-limit, Math.min(limit - 1, whole));
}

// One network: push(values) gives the steps that a sample completes.
class Device {
  static async open(bytes, facts) {
    const { instance } = await WebAssembly.instantiate(bytes, {});
    return new Device(instance.exports, facts);
  }
  constructor(c, facts) {
    if (c._initialize) c._initialize();
    this.c = c; this.facts = facts;
    this.begin();
  }
  begin() {
    for (const [side, values] of Object.entries(this.facts.thresholds || {})) this.room(this.c[side]()).set(values);
    this.c.begin();
    this.steps = 0;
  }
  room(place) { return new KINDS[this.facts.sample](this.c.memory.buffer, place, this.facts.channels); }
  push(values) {
    const room = this.room(this.c.sample());
    for (let i = 0; i < room.length; i++) room[i] = asSample(values[i], i, this.facts);
    this.c.push();
    return this.next();
  }
  // The steps that were still under way when the signal ended.
  finish() {
    this.c.end();
    return this.next();
  }
  next() {
    const steps = [];
    while (this.c.next()) steps.push(this.step());
    return steps;
  }
  step() {
    this.steps++;
    const c = this.c, { number, value_bits } = this.facts;
    if (model.alarm) return { ...this.look(), values: [c.score()] };
    if (model.values) {
      const values = [...new KINDS[number](c.memory.buffer, c.values(), model.values.length)];
      return { ...this.look(), values: values.map((value, i) => value / 2 ** value_bits[i]) };
    }
    const label = c.label(), scores = [...new KINDS[number](c.memory.buffer, c.scores(), model.classes.length)];
    return { ...this.look(), label, scores, probabilities: model.kind === "per_step" ? this.softmax(scores) : this.alone(label, c.confidence()) };
  }
  softmax(outputs) {
    const scores = outputs.map(output => output / this.facts.output_scale);
    const largest = Math.max(...scores), parts = scores.map(score => Math.exp(score - largest)), sum = parts.reduce((a, b) => a + b);
    return parts.map(part => part / sum);
  }
  // The C says how sure it is of the class that it decided for, and nothing of the others.
  alone(label, confidence) {
    return model.classes.map((_, i) => i === label && confidence >= 0 ? confidence : null);
  }
  // Of each hidden layer: the numbers of the neurons that spiked; and some membranes.
  look() {
    const { c, facts } = this, state = c.state(), spikes = [], membranes = [];
    for (const layer of facts.layers) {
      const fired = layer.spikes === null ? [] : new Uint8Array(c.memory.buffer, state + layer.spikes, layer.size);
      spikes.push([...fired.keys()].filter(n => fired[n]));
      if (layer.membrane !== null && !membranes.length) membranes.push(...new KINDS[facts.number](c.memory.buffer, state + layer.membrane, Math.min(4, layer.size)));
    }
    return { spikes, membranes };
  }
}

// Which lead of an ECG says nothing: "flat", one value for 0.4 s, or "off", a straight slope for as long; else "" (srnn.measure.leads).
class Leads {
  constructor(count, rate) { this.rows = []; this.still = Array(count).fill(0); this.long = Math.round(.4 * rate); }
  see(row) {
    const [before, last] = this.rows;
    let state = "";
    if (last) row.forEach((value, i) => {
      const straight = Math.abs(value - 2 * last[i] + before[i]) <= 1e-6 * Math.max(1e-3, Math.abs(value));
      this.still[i] = straight ? this.still[i] + 1 : 0;
      if (this.still[i] + 2 >= this.long) state = value === last[i] ? "flat" : "off";
    });
    this.rows = [...this.rows.slice(-1), row];
    return state;
  }
}

// Why a signal (rows of values) can hardly be like those of training; "" if nothing speaks against it.
function driftOf(rows) {
  const { means, deviations } = PAGE.facts, called = i => (model.names || [])[i] || `channel ${i}`;
  if (rows.length < 2) return "";
  for (let i = 0; i < model.channels; i++) {
    if (!means) continue;
    const far = Math.sqrt(rows.reduce((sum, row) => sum + ((row[i] - means[i]) / deviations[i]) ** 2, 0) / rows.length);
    if (far > PAGE.facts.far) return `${called(i)} lies ${far.toPrecision(3)} standard deviations from its mean in training; is it in the same unit?`;
  }
  return "";
}

// As many samples as time has passed; what the network did is told as the service tells it.
function advance(began, first) {
  if (!running || !feed) return;
  const rate = model.rate || 50, width = model.channels, due = Math.floor((performance.now() - began) / 1000 * rate) + first - feed.place;
  const data = feed.live ? feed.take() : feed.take(Math.max(0, Math.min(due, rate)));
  const trace = { type: "trace", sample: device.taken, step: device.count, input: [], spikes: [], membranes: [] };
  const decisions = { type: "decisions", steps: [], classes: [], probabilities: [], values: [], states: [] };
  let state = "";
  const note = step => {
    trace.spikes.push(step.spikes); trace.membranes.push(step.membranes);
    decisions.steps.push(device.count++); decisions.classes.push(state ? null : step.label); decisions.states.push(state); decisions.probabilities.push(step.probabilities);
    decisions.values.push(step.values);
  };
  for (let at = 0; at < data.length; at += width) {
    const row = [...data.subarray(at, at + width)];
    trace.input.push(row); device.taken++;
    if (heardSoFar.length < CHECKED * rate && heardSoFar.push(row) === Math.ceil(CHECKED * rate) && !feed.drift) reportDrift();
    if (leads) state = leads.see(row);
    device.push(row).forEach(note);
    if (feed.live && PAGE.facts.segment && device.steps >= PAGE.facts.segment) device.begin();
  }
  if (feed.over) {
    if (!feed.drift && heardSoFar.length < CHECKED * rate) reportDrift();
    device.finish().forEach(note);
  }
  if (trace.input.length || trace.spikes.length) receive(trace);
  if (decisions.steps.length) receive(decisions);
  if (feed.over) return receive({ type: "end", steps: device.count });
  timer = setTimeout(advance, PIECE * 1000, began, first);
}

function reportDrift() {
  const drift = driftOf(heardSoFar);
  if (drift) receive({ type: "drift", drift });
}

const engine = {
  about: PAGE.about,
  accepts: ".csv,.txt,.tsv,.wav,.hea,.dat",
  sources(model) {
    return motionAxes(model.names).some(axis => axis) ? [["motion", "this phone's motion"]] : [];
  },
  live: kind => openMotion(model),
  async open() {
    device = await Device.open(bytesOf(PAGE.wasm), PAGE.facts);
    return { models: [PAGE.model], recordings: PAGE.recordings.map((one, number) => ({ number, name: one.name, models: [PAGE.model.model], kept: true })) };
  },
  async recording(number) { return new Float32Array(bytesOf(PAGE.recordings[number].samples).buffer); },
  async read(files) {
    const read = await readRecording(files, { names: model.names, spellings: PAGE.facts.spellings, channels: model.channels, rate: model.rate, stated: +$("rate").value || null, chosen: $("names").value, missing: $("missing").value });
    return [read.samples, read.notes, "", read.names];
  },
  connect() {
    engine.leave();
    device.begin(); device.count = device.taken = 0; heardSoFar = [];
    leads = model.heart ? new Leads(model.channels, model.rate) : null;
    receive({ type: "ready", samples: 0 });
  },
  run(first) { advance(performance.now(), first); },
  leave() { clearTimeout(timer); },
};
