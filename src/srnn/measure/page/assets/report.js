// The page of one run.

const EVALUATION = DATA.evaluation;
// Neurons that do not spike have no firing rate: it is then the fraction of their outputs that are not 0.
const SPIKING = DATA.network.spiking;

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
  origin();
  document.getElementById("footer").textContent = `Made by srnn report; measured on the ${EVALUATION.split} split. The numbers are those of srnn report --json.`;
})();
