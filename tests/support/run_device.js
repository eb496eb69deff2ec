// After device.js: the page's data and float32 samples; prints what the network does at each step.
const raw = new Uint8Array(require("fs").readFileSync(process.argv[2]));
const x = new Float32Array(raw.buffer), width = PAGE.facts.channels;
Device.open(bytesOf(PAGE.wasm), PAGE.facts).then(device => {
  const told = { labels: [], probabilities: [], scores: [], spikes: [], values: [] };
  const note = step => {
    told.labels.push(step.label);
    told.probabilities.push(step.probabilities);
    told.spikes.push(step.spikes);
    told.scores.push(step.scores);
    told.values.push(step.values);
  };
  for (let at = 0; at < x.length; at += width) device.push(x.subarray(at, at + width)).forEach(note);
  device.finish().forEach(note);
  console.log(JSON.stringify(told));
});
