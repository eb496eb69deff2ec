// The page of one run.

const EVALUATION = DATA.evaluation, STEP_MS = DATA.task.step_ms;
// Neurons that do not spike have no firing rate: it is then the fraction of their outputs that are not 0.
const SPIKING = DATA.network.spiking;
const MODELS = { paper: "paper's rules", fp32: "fp32", neurobench: "NeuroBench", memory: "with memory" };

function tiles() {
  const first = DATA.energy.networks[0], other = DATA.energy.networks[1], ratio = DATA.energy.compared_with_first[1];
  const rate = EVALUATION.firing_rate, items = [];
  const add = (name, key, value, more) => items.push(el("div", { class: "tile" }, el("dt", {}, name), el("dd", { class: "value", "data-key": key }, value), more && el("dd", { class: "more" }, more)));
  const also = EVALUATION.accuracy_without_silence != null ? `${percent(EVALUATION.accuracy_without_silence)} without silence` : EVALUATION.accuracy_labelled != null ? `${percent(EVALUATION.accuracy_labelled)} of the labelled steps` : `of ${whole(EVALUATION.n_sequences)} sequences`;
  const sure = EVALUATION.groups.interval;
  add("Accuracy", "evaluation.accuracy", percent(EVALUATION.accuracy), sure ? `${also}; 95 % confidence${EVALUATION.accuracy_without_silence != null ? " with it" : ""} ${percent(sure[0], 1)} to ${percent(sure[1], 1)}` : also);
  add(rate && !SPIKING ? "Activity" : "Firing rate", "evaluation.firing_rate.mean", rate ? short(rate.mean) : NONE, !rate ? "it does not spike" : SPIKING ? "spikes per neuron and step" : "fraction of outputs that are not 0; it does not spike");
  add("Parameters", "evaluation.parameters", whole(EVALUATION.parameters), `${short(first.footprint_bytes / 1024)} KiB of memory`);
  for (const [model, what] of [["fp32", "operations"], ["memory", "with memory"]]) {
    const own = first.models[model], its = other && other.models[model];
    add(`Energy per step, ${what}`, `energy.networks.0.models.${model}.energy_pj.step`, energy(own && own.energy_pj.step),
      its ? `${other.name}: ${energy(its.energy_pj.step)}, ${times(ratio.energy[model])}` : "estimated, not measured on a device");
  }
  if (EVALUATION.exit && EVALUATION.exit.policy.confidence != null) add("Early exit", "evaluation.exit.result.mean_steps", stepsOf(EVALUATION.exit.result.mean_steps), `of ${short(EVALUATION.exit.waiting.mean_steps)}; accuracy ${percent(EVALUATION.exit.result.accuracy)}`);
  else if (EVALUATION.activity) add(SPIKING ? "Synaptic operations" : "Analog operations", "evaluation.activity.sops_per_step", short(EVALUATION.activity.sops_per_step), SPIKING ? "per step: spikes times the synapses they reach" : "per step: outputs that are not 0 times the synapses they reach; multiplications");
  return el("dl", { class: "tiles" }, items);
}

const layerName = name => name.startsWith("readout") ? "Readout" : name === "encoder" ? "Encoder" : `Layer ${Number(name.split(".")[1]) + 1}` + (name.includes("forward") ? ", forwards" : name.includes("backward") ? ", backwards" : "");

function energySection() {
  const found = DATA.energy, networks = found.networks, models = Object.keys(MODELS);
  const host = el("div", { class: "stack" });
  const periods = ["step", "sequence", "second"].filter(period => networks.some(one => models.some(m => one.models[m] && one.models[m].energy_pj[period] != null)));
  const show = period => host.replaceChildren(
    table(`Energy per ${period}`, ["network", "accuracy", ...models.map(m => MODELS[m])], networks.map((one, i) => [{ text: one.name, more: one.note }, percent(one.accuracy), ...models.map(m => ({
      key: `energy.networks.${i}.models.${m}.energy_pj.${period}`, text: energy(one.models[m] && one.models[m].energy_pj[period]), more: i && found.compared_with_first[i].energy[m] != null ? times(found.compared_with_first[i].energy[m]) : null }))])),
    logPoints(`Energy per ${period}`, "logarithmic", networks.map(one => ({ name: one.name, values: models.map(m => one.models[m] && one.models[m].energy_pj[period]) })), models.map(m => MODELS[m]), energy));
  show(periods[0]);
  section("energy", "Energy", "Estimated from counted operations, by four models; nothing was measured on a device. They differ by orders of magnitude, which is why all four are shown.",
    periods.length > 1 ? chips("period", "Of a", periods.map(p => [p, p]), periods[0], show) : null, host,
    Object.keys(found.break_even).length ? el("div", { class: "below" }, table("Break-even: spikes per neuron and step above which these networks of its size cost less; above 1: never", ["network", ...models.map(m => MODELS[m])],
      Object.entries(found.break_even).map(([name, rates]) => [name, ...models.map(m => ({ key: `energy.break_even.${name}.${m}`, text: short(rates[m]) }))]))) : null,
    el("p", { class: "note" }, `Paper's rules: 3.1 pJ per multiplication, 0.1 pJ per addition, one mean rate. fp32: 4.6 and 0.9 pJ, each layer's own rate, analog input as multiplications. NeuroBench: operations whose weight and value are not 0, at the same prices. With memory: operations, memory traffic and addresses (${found.technology.name}). Ratios are relative to ${networks[0].name}. None of them includes the sensor, the encoder or control.`));
}

function trainingSection() {
  const epochs = DATA.training.epochs;
  if (!epochs.length) return;
  const x = epochs.map(e => e.epoch), get = (split, key) => epochs.map(e => e[split] ? e[split][key] ?? null : null);
  const best = DATA.training.best_epoch, marks = best ? [{ x: best, text: `best: ${best}` }] : [];
  const both = key => [{ name: "training", x, y: get("train", key), colour: "var(--c1)", thin: true }, { name: "validation", x, y: get("validation", key), colour: "var(--c0)" }].filter(one => one.y.some(v => v != null));
  const rates = split => epochs.map(e => e[split] && e[split].firing_rate ? e[split].firing_rate.mean : null);
  const parts = [
    plot({ title: "Accuracy", x: { label: "epoch", whole: true }, y: { label: "accuracy", text: share }, series: both("accuracy"), marks }),
    both("balanced_accuracy").length && plot({ title: "Balanced accuracy", x: { label: "epoch", whole: true }, y: { label: "balanced accuracy", text: share }, series: both("balanced_accuracy"), marks }),
    plot({ title: "Loss", x: { label: "epoch", whole: true }, y: { label: "loss" }, series: both("loss"), marks, marksAbove: true }),
    rates("validation").some(v => v != null) && plot({ title: SPIKING ? "Firing rate" : "Activity", x: { label: "epoch", whole: true }, y: { label: SPIKING ? "spikes per neuron and step" : "fraction of outputs not 0", min: 0 }, series: [{ name: "validation", x, y: rates("validation"), colour: "var(--c2)" }], marks }),
    epochs.some(e => e.lr != null) && plot({ title: "Learning rate", x: { label: "epoch", whole: true }, y: { label: "learning rate", min: 0 }, series: [{ name: "learning rate", x, y: epochs.map(e => e.lr ?? null), colour: "var(--c3)" }] }),
  ].filter(Boolean);
  const took = epochs[epochs.length - 1].seconds;
  section("training", "Training", `${whole(epochs.length)} ${epochs.length === 1 ? "epoch" : "epochs"}${took != null ? " in " + seconds(took) : ""}. Everything on this page is from ${best ? `epoch ${best}, which validation chose` : "the checkpoint that validation chose"}.`, el("div", { class: "columns" }, parts));
}

/** Whether the training was healthy: each layer over the epochs, and what was done where it was not. */
function healthSection() {
  const epochs = DATA.training.epochs.filter(e => e.health), x = epochs.map(e => e.epoch);
  const layers = [...new Set(epochs.flatMap(e => Object.keys(e.health)))].sort();
  const colour = i => `var(--c${[0, 2, 3, 6, 1, 8][i % 6]})`, axis = { label: "epoch", whole: true };
  const line = (name, i, read, more) => ({ name, x, y: epochs.map(read), colour: colour(i), ...more });
  const known = series => series.filter(one => one.y.some(v => v != null));
  const rates = known(layers.map((name, i) => line(layerName(name), i, e => name.startsWith("layers.") && e.train && e.train.firing_rate ? e.train.firing_rate.layers[name.split(".")[1]] ?? null : null)));
  const idle = known(layers.flatMap((name, i) => [["silent", {}], ["saturated", { dash: true }]].map(([what, more]) => line(`${layerName(name)}, ${SPIKING || what === "saturated" ? what : "always 0"}`, i, e => e.health[name] ? e.health[name][what] ?? null : null, more))));
  const norms = known(layers.map((name, i) => line(layerName(name), i, e => e.health[name] && e.health[name].gradient_norm > 0 ? e.health[name].gradient_norm : null)));
  const spread = extent(norms.flatMap(one => one.y));
  const parts = [
    rates.length && plot({ title: SPIKING ? "Firing rate by layer" : "Activity by layer", subtitle: "on the training split", x: axis, y: { label: SPIKING ? "spikes per neuron and step" : "fraction of outputs not 0", min: 0 }, series: rates, legend: true }),
    idle.length && plot({ title: SPIKING ? "Silent and saturated neurons" : "Neurons that are always 0", subtitle: SPIKING ? "fractions of a layer that never spiked, or at nearly every sampled step" : "fractions of a layer, at the sampled steps", x: axis, y: { label: "fraction of neurons", text: share, min: 0, max: 1 }, series: idle, legend: true }),
    norms.length && plot({ title: "Gradient norm by layer", subtitle: "geometric mean of an epoch's batches, before clipping; logarithmic", x: axis, y: { label: "norm", log: true, min: spread[0] / 1.6, max: spread[1] * 1.6 }, series: norms, legend: true }),
  ].filter(Boolean);
  const mendedBy = one => [
    `${one.reason}: mended from the last checkpoint, at ${short(one.lr_factor)}× the learning rate`,
    ...(one.scaled || []).map(layer => `${layerName(layer.name)}: weights scaled`),
    ...Object.entries(one.calmed || {}).map(([name, factor]) => `${layerName(name)}: ${short(factor)}× its recurrent weights`),
  ].join("; ");
  const start = DATA.training.epochs.flatMap(e => e.start || []).filter(one => one.scaled), said = [
    ...start.map(one => ["before the first step", `${layerName(one.name)}: weights scaled by ${short(one.gains[0])} to ${short(one.gains[1])}, rate ${short(one.rates[0])} to ${short(one.rates[1])}`]),
    ...DATA.training.events.map(one => [one.where, one.event === "restored" ? mendedBy(one) : `${one.reason}: ${one.event}`]),
    ...DATA.training.epochs.flatMap(e => (e.sick || []).map(what => [`epoch ${e.epoch}`, what]))];
  if (!parts.length && !said.length) return;
  const mended = DATA.training.events.filter(one => one.event === "restored").length;
  section("health", "Health", `${mended ? `The training was mended ${mended === 1 ? "once" : `${mended} times`}` : "The training was never mended"}${epochs.some(e => e.sick) ? "; some epochs ended with a sick layer" : ""}. A layer is sick when nearly all of its neurons are silent, half of them spike at nearly every step, or its gradient has exploded.`,
    el("div", { class: "columns" }, parts), said.length ? el("div", { class: "below" }, table("What was done", ["when", "what"], said.map(([when, what]) => [when, { text: what, words: true }]))) : null);
}

function origin() {
  const copy = el("button", { type: "button", onclick: async () => {
    try { await navigator.clipboard.writeText(DATA.recipe); copy.textContent = "Copied"; } catch { copy.textContent = "Select it, and copy"; }
  } }, "Copy");
  const facts = [], walk = (value, name) => value !== null && typeof value === "object" ? Object.entries(value).forEach(([k, v]) => walk(v, name ? `${name} ${k}` : k)) : facts.push([name.replaceAll("_", " "), value === null ? NONE : String(value)]);
  walk(DATA.environment, "");
  section("origin", "Recipe and environment", "The settings of this run, with all defaults.", el("div", { class: "columns" },
    el("div", {}, el("div", { class: "row" }, el("h3", {}, "Recipe"), copy), el("pre", { tabindex: "0", "aria-label": "Recipe" }, DATA.recipe)),
    el("div", {}, table("Environment", null, facts, "facts"))));
}

(function report() {
  const { network, task } = DATA, kinds = [...new Set(network.neurons)].join(", ");
  const shape = [network.inputs, ...network.hidden, network.outputs].join(" – ");
  document.getElementById("over").textContent = "srnn report";
  document.getElementById("title").textContent = DATA.name;
  document.getElementById("subtitle").textContent = `${task.name}, which reads ${task.signal} · ${network.model} ${shape} (${kinds})${network.bidirectional ? ", bidirectional" : ""} · ${EVALUATION.split} split, ${whole(EVALUATION.n_sequences)} sequences · seed ${EVALUATION.seed}`;
  document.getElementById("main").append(tiles());
  if (DATA.samples.sequences.length) section("samples", "Step by step", "Real sequences of the split, spread evenly over it and not chosen by the network's accuracy on them. Move the slider, or point at a plot.", player(DATA.samples));
  Object.entries(DATA.sections).forEach(([id, one]) => shown(id, one));
  energySection();
  trainingSection();
  healthSection();
  origin();
  document.getElementById("footer").textContent = `Made by srnn report; measured on the ${EVALUATION.split} split. The numbers are those of srnn report --json.`;
})();
