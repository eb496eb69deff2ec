// Recordings read in the page: CSV, WAV and WFDB files to the network's channels, in its units, at its rate.
// Each reader gives {columns: [{name, unit, values}], rate: samples per second or null, notes: []}.

function readTable(text) {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/).filter(line => line.trim() && !line.startsWith("#"));
  if (!lines.length) throw new Error("The file is empty.");
  const counts = [";", "\t", ","].map(mark => lines[0].split(mark).length), mark = [";", "\t", ","][counts.indexOf(Math.max(...counts))];
  const cells = line => line.split(mark).map(cell => cell.trim().replace(/^"(.*)"$/, "$1"));
  const value = cell => cell === "" || /^nan$/i.test(cell) ? NaN : Number(mark === "," ? cell : cell.replace(",", "."));
  const first = cells(lines[0]), headed = first.some(cell => cell !== "" && !/^nan$/i.test(cell) && Number.isNaN(value(cell)));
  const rows = lines.slice(headed ? 1 : 0).map(cells);
  const columns = first.map((title, i) => {
    const [, name, , unit] = headed ? title.match(/^(.*?)\s*([[(]([^\])]*)[\])])?$/) : [, null, , null];
    return { name, unit: unit || null, values: Float64Array.from(rows, row => value(row[i] ?? "")) };
  });
  const time = columns.findIndex(column => /^(t|time|timestamp|seconds)$/i.test(column.name || ""));
  let rate = null;
  if (time >= 0) {
    const [column] = columns.splice(time, 1), gaps = [...column.values].slice(1).map((t, i) => t - column.values[i]).sort((a, b) => a - b);
    const gap = gaps[gaps.length >> 1] * ({ ms: 1e-3, us: 1e-6, "µs": 1e-6, ns: 1e-9 }[column.unit] || 1);
    if (gap > 0) rate = 1 / gap;
  }
  return { columns, rate, notes: [] };
}

function readWave(buffer) {
  const data = new DataView(buffer), tag = at => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (tag(0) !== "RIFF" || tag(8) !== "WAVE") throw new Error("This is no WAV file.");
  let format = null;
  for (let at = 12; at + 8 <= data.byteLength; at += 8 + data.getUint32(at + 4, true) + (data.getUint32(at + 4, true) & 1)) {
    const size = Math.min(data.getUint32(at + 4, true), data.byteLength - at - 8), start = at + 8;
    if (tag(at) === "fmt ") format = { kind: data.getUint16(start, true), channels: data.getUint16(start + 2, true), rate: data.getUint32(start + 4, true), bits: data.getUint16(start + 14, true) };
    if (tag(at) === "fmt " && format.kind === 0xFFFE) format.kind = data.getUint16(start + 24, true);
    if (tag(at) !== "data" || !format) continue;
    const bytes = format.bits / 8, count = Math.floor(size / bytes / format.channels);
    const read = {
      "1 8": i => (data.getUint8(i) - 128) / 128, "1 16": i => data.getInt16(i, true) / 32768,
      "1 24": i => (data.getUint8(i) | data.getUint8(i + 1) << 8 | data.getInt8(i + 2) << 16) / 8388608,
      "1 32": i => data.getInt32(i, true) / 2147483648, "3 32": i => data.getFloat32(i, true), "3 64": i => data.getFloat64(i, true),
    }[`${format.kind} ${format.bits}`];
    if (!read) throw new Error(`This WAV file's coding (${format.kind}, ${format.bits} bits) is not read here; save it as PCM of 16 bits.`);
    const columns = Array.from({ length: format.channels }, (_, c) => ({ name: null, unit: null, values: Float64Array.from({ length: count }, (_, i) => read(start + (i * format.channels + c) * bytes)) }));
    return { columns, rate: format.rate, notes: format.channels > 1 ? [`its first channel of ${format.channels}`] : [] };
  }
  throw new Error("This WAV file has no sound.");
}

// physionet.org/physiotools/wag/header-5.htm: formats 16, 80 and 212.
function readRecord(header, bytes) {
  const lines = header.split(/\r?\n/).filter(line => line.trim() && !line.startsWith("#"));
  const [, count, rate] = lines[0].split(/\s+/), signals = lines.slice(1, 1 + +count).map(line => {
    const [, format, gain, , zero, , , , ...name] = line.split(/\s+/), found = (gain || "200").match(/^([\d.eE+-]+)(?:\((-?\d+)\))?(?:\/(\S+))?/);
    return { format, gain: +found[1] || 200, baseline: +(found[2] ?? zero ?? 0), unit: found[3] || "mV", name: name.join(" ") || null };
  });
  const format = signals[0].format;
  if (signals.some(signal => signal.format !== format) || !["16", "80", "212"].includes(format)) throw new Error(`A record of format ${format} is not read here, only 16, 80 and 212; srnn predict reads more.`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), signed = x => x > 2047 ? x - 4096 : x;
  const total = format === "16" ? bytes.length >> 1 : format === "80" ? bytes.length : Math.floor(bytes.length / 3) * 2;
  const raw = i => format === "16" ? view.getInt16(2 * i, true) : format === "80" ? bytes[i] - 128
    : signed(i & 1 ? bytes[3 * (i >> 1) + 2] | (bytes[3 * (i >> 1) + 1] & 0xF0) << 4 : bytes[3 * (i >> 1)] | (bytes[3 * (i >> 1) + 1] & 0x0F) << 8);
  const steps = Math.floor(total / signals.length);
  const columns = signals.map((signal, c) => ({ ...signal, values: Float64Array.from({ length: steps }, (_, i) => (raw(i * signals.length + c) - signal.baseline) / signal.gain) }));
  return { columns, rate: parseFloat(rate) || null, notes: [] };
}

// The columns that the network takes, in its order.
function pick(columns, { names, spellings, channels, chosen }) {
  const wanted = chosen ? chosen.split(",").map(word => word.trim()) : names && names.every(name => columns.some(column => same(column.name, name))) ? names : null;
  if (!wanted) {
    if (names && columns.some(column => column.name)) throw new Error(`The network takes ${names.join(", ")}; the file has ${columns.map(column => column.name || "?").join(", ")}. Name the channels to take, in this order.`);
    if (columns.length < channels) throw new Error(`The network takes ${channels} channels; the file has ${columns.length}.`);
  }
  const taken = wanted ? wanted.map(word => {
    const column = columns.find(column => same(column.name, word)) || columns[/^\d+$/.test(word) ? +word : -1];
    if (!column) throw new Error(`The file has no channel ${word}.`);
    return column;
  }) : columns.slice(0, channels);
  if (taken.length !== channels) throw new Error(`The network takes ${channels} channels, not ${taken.length}.`);
  taken.forEach((column, i) => {
    const known = spellings && spellings[i];
    if (column.unit && known && known.length && !known.includes(column.unit)) throw new Error(`${column.name || "channel " + i} is in ${column.unit}; the network takes ${known[0]}.`);
  });
  return taken;
}

const same = (one, other) => one !== null && one.trim().toLowerCase() === other.trim().toLowerCase();

// Missing values, in place; the number of them.
function mend(values, missing) {
  let count = 0;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isNaN(values[i])) continue;
    let end = i;
    while (end < values.length && Number.isNaN(values[end])) end++;
    if (missing === "refuse") throw new Error(`Sample ${i} is missing.`);
    if (i === 0 && end === values.length) throw new Error("A channel has no values.");
    const before = i ? values[i - 1] : values[end], after = end < values.length ? values[end] : before;
    for (let k = i; k < end; k++) values[k] = missing === "hold" ? before : before + (after - before) * (k - i + 1) / (end - i + 1);
    count += end - i; i = end;
  }
  return count;
}

// To another rate: the mean over a step of the new one where that is longer, else between neighbours.
function resample(values, from, to) {
  const length = Math.max(1, Math.round(values.length * to / from)), ratio = from / to, out = new Float64Array(length);
  for (let i = 0; i < length; i++) {
    const at = i * ratio;
    if (ratio > 1) {
      let sum = 0, count = 0;
      for (let k = Math.max(0, Math.ceil(at - ratio / 2)); k <= Math.min(values.length - 1, at + ratio / 2); k++) { sum += values[k]; count++; }
      out[i] = sum / count;
    } else {
      const low = Math.min(values.length - 1, Math.floor(at)), high = Math.min(values.length - 1, low + 1);
      out[i] = values[low] + (values[high] - values[low]) * (at - low);
    }
  }
  return out;
}

// {samples: Float32Array, notes, names} of the files of one recording.
async function readRecording(files, wanted) {
  const ending = file => file.name.split(".").pop().toLowerCase(), header = files.find(file => ending(file) === "hea");
  let read;
  if (header || ending(files[0]) === "dat") {
    const data = files.find(file => ending(file) === "dat");
    if (!header || !data) throw new Error("A WFDB record is two files, .hea and .dat: choose both.");
    read = readRecord(await header.text(), new Uint8Array(await data.arrayBuffer()));
  } else if (ending(files[0]) === "wav") read = readWave(await files[0].arrayBuffer());
  else read = readTable(await files[0].text());
  const columns = pick(read.columns, wanted), notes = [...read.notes], missing = columns.map(column => mend(column.values, wanted.missing));
  if (missing.some(count => count)) notes.push(`${missing.reduce((a, b) => a + b)} missing values filled`);
  let values = columns.map(column => column.values);
  const rate = wanted.stated || read.rate;
  if (!rate && wanted.rate) notes.push(`taken as ${wanted.rate} samples a second`);
  if (rate && wanted.rate && Math.abs(rate / wanted.rate - 1) > .005) {
    values = values.map(column => resample(column, rate, wanted.rate));
    notes.push(`from ${+rate.toPrecision(5)} to ${wanted.rate} samples a second`);
  }
  const samples = new Float32Array(values[0].length * values.length);
  values.forEach((column, c) => column.forEach((value, i) => { samples[i * values.length + c] = value; }));
  return { samples, notes, names: columns.some(column => column.name) ? columns.map(column => column.name || "?") : null };
}

// ---- a phone's motion ------------------------------------------------------------------------------------------------------------

const AXIS = /^(a|acc|accel|g|gyr|gyro)[ _.-]?([xyz])$/i;

// Which of a phone's axes each channel is: {acceleration, axis}, or null.
function motionAxes(names) {
  return (names || []).map(name => name.match(AXIS)).map(found => found && { acceleration: found[1][0].toLowerCase() === "a", axis: found[2].toLowerCase() });
}

// Each channel is the last value that the phone has told, as often as the network takes samples.
async function openMotion(model) {
  if (typeof DeviceMotionEvent === "undefined") throw new Error("This device tells no motion.");
  if (DeviceMotionEvent.requestPermission && await DeviceMotionEvent.requestPermission() !== "granted") throw new Error("Motion was not permitted.");
  const axes = motionAxes(model.names), last = new Float32Array(model.channels), radians = Math.PI / 180;
  const turns = { x: "beta", y: "gamma", z: "alpha" }, began = performance.now();
  const scale = (axis, unit) => axis.acceleration ? (unit === "g" ? 1 / 9.80665 : 1) : /rad/.test(unit || "") ? radians : 1;
  let told = 0;
  const hear = event => {
    told++;
    axes.forEach((axis, i) => {
      const value = axis && (axis.acceleration ? (event.accelerationIncludingGravity || {})[axis.axis] : (event.rotationRate || {})[turns[axis.axis]]);
      if (value !== null && value !== undefined) last[i] = value * scale(axis, (model.units || [])[i]);
    });
  };
  addEventListener("devicemotion", hear);
  return {
    place: 0, live: true,
    take() {
      const count = Math.max(0, Math.floor((performance.now() - began) / 1000 * model.rate) - this.place), out = new Float32Array(told ? count * last.length : 0);
      for (let i = 0; i < out.length; i++) out[i] = last[i % last.length];
      this.place += count;
      return out;
    },
    close() { removeEventListener("devicemotion", hear); },
  };
}
