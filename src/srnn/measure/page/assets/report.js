// The page of one run.

/** What a reader looks for first. */
function tiles({ values }) {
  return el("dl", { class: "tiles" }, Object.entries(values).map(([name, value]) =>
    el("div", { class: "tile" }, el("dt", {}, name), el("dd", { class: "value" }, written(...value)))));
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
  const { network, task, evaluation } = DATA, kinds = [...new Set(network.neurons)].join(", ");
  const shape = [network.inputs, ...network.hidden, network.outputs].join(" – ");
  document.getElementById("over").textContent = "srnn report";
  document.getElementById("title").textContent = DATA.name;
  document.getElementById("subtitle").textContent = `${task.name}, which reads ${task.signal} · ${network.model} ${shape} (${kinds})${network.bidirectional ? ", bidirectional" : ""} · ${evaluation.split} split, ${whole(evaluation.n_sequences)} sequences · seed ${evaluation.seed}`;
  document.getElementById("main").append(tiles(DATA.short));
  if (DATA.samples.sequences.length) section("samples", "Step by step", "Real sequences of the split, spread evenly over it and not chosen by the network's accuracy on them. Move the slider, or point at a plot. " + DATA.caution, player(DATA.samples));
  Object.entries(DATA.sections).forEach(([id, one]) => shown(id, one));
  origin();
  document.getElementById("footer").textContent = `Made by srnn report; measured on the ${evaluation.split} split. The numbers are those of srnn report --json. ${DATA.caution}`;
})();
