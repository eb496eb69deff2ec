// The page of several runs of one task.

const RUNS = DATA.runs, TASK = DATA.task, colour = i => `var(--c${i % 9})`, dashed = i => i >= 9;
// [key, title, text, 1: more is better, -1: less is better, 0: neither]
const MEASURES = [
  ["accuracy", "accuracy", percent, 1], ["accuracy_labelled", "accuracy, labelled steps", percent, 1], ["accuracy_without_silence", "accuracy without silence", percent, 1],
  ["balanced_accuracy", "balanced accuracy", percent, 1], ["settled_steps", "steps until the accuracy has settled", short, -1], ["exit_accuracy", "accuracy with early exit", percent, 1], ["exit_mean_steps", "steps read with early exit", short, -1],
  ["firing_rate", "firing rate, spikes per neuron and step", short, -1], ["activity", "analog neurons: fraction of outputs not 0", short, -1],
  ["sops_per_step", "synaptic operations per step", short, -1], ["analog_operations_per_step", "analog neurons: their operations per step", short, -1], ["parameters", "parameters", whole, -1],
  ["energy_paper", "energy per step, paper's rules", energy, -1], ["energy_fp32", "energy per step, fp32", energy, -1], ["energy_neurobench", "energy per step, NeuroBench", energy, -1], ["energy_memory", "energy per step, with memory", energy, -1],
  ["training_seconds", "training", seconds, 0],
];

function measuresSection() {
  const rows = [];
  for (const [key, title, text, better] of MEASURES) {
    const values = RUNS.map(run => run.measures[key] ?? null), known = values.filter(v => v != null);
    if (!known.length) continue;
    const best = better && known.length > 1 && new Set(known).size > 1 ? (better > 0 ? Math.max(...known) : Math.min(...known)) : null;
    rows.push([title, ...values.map((v, i) => ({ text: text(v), best: best !== null && v === best, key: `runs.${i}.measures.${key}` }))]);
  }
  if (RUNS.some(run => run.above_first)) {
    const points = v => (v < 0 ? "−" : "+") + Math.abs(100 * v).toFixed(1), of = RUNS[0].measures.accuracy_labelled != null ? "accuracy, labelled steps" : "accuracy";
    rows.splice(rows.findIndex(row => row[0] === of) + 1, 0, [`${of}, points compared with ${RUNS[0].name} (95 % confidence interval)`, ...RUNS.map(({ above_first: one }) => one ? { text: `${points(one.accuracy)} (${points(one.interval[0])} to ${points(one.interval[1])})`, more: `better in ${whole(one.better)} of ${whole(one.count)} ${one.unit}, worse in ${whole(one.worse)}` } : NONE)]);
  }
  section("measures", "Measures", `On the ${DATA.split} split. A star marks the best in each row. Energies are estimates.`, table(null, ["measure", ...RUNS.map(run => run.name)], rows, "measures"));
}

function curvesSection() {
  const training = (key, title, axis) => {
    const series = RUNS.map((run, i) => ({ name: run.name, x: run.epochs.map(e => e.epoch), y: run.epochs.map(e => e.validation ? e.validation[key] ?? null : null), colour: colour(i), dash: dashed(i), thin: true })).filter(one => one.y.some(v => v != null));
    return series.length ? plot({ title, x: { label: "epoch", whole: true }, y: { label: key, ...axis }, series, height: 260, legend: true }) : null;
  };
  const sameLoss = !DATA.recipes.some(row => row.key.startsWith("loss."));  // other losses are no rivals
  const over = key => RUNS.map((run, i) => run[key] && { name: run.name, x: run[key].map((_, t) => t + 1), y: run[key], colour: colour(i), dash: dashed(i) }).filter(Boolean);
  const anytime = over("anytime"), labelled = over("anytime_labelled");
  const overTime = (title, subtitle, series) => plot({ title, subtitle, x: { label: TASK.step_ms ? `steps of ${short(TASK.step_ms)} ms` : "steps" }, y: { label: "accuracy", min: 0, max: 1, text: share }, series, height: 260, legend: true });
  const exits = RUNS.map((run, i) => { const points = run.exit && [...run.exit].sort((a, b) => a.mean_steps - b.mean_steps); return points && { name: run.name, x: points.map(p => p.mean_steps), y: points.map(p => p.accuracy), colour: colour(i), dash: dashed(i) }; }).filter(Boolean);
  section("curves", "Curves", null, el("div", { class: "columns" }, [
    training("accuracy", "Validation accuracy over training", { text: share }),
    training("balanced_accuracy", "Balanced accuracy on validation over training", { label: "balanced accuracy", text: share }), sameLoss && training("loss", "Validation loss over training", {}),
    labelled.length && overTime("Accuracy over time, labelled steps", "of all labelled steps so far, from the first at which labels differ", labelled),
    anytime.length && overTime(labelled.length ? "Accuracy over time, all steps" : "Accuracy over time", labelled.length ? `those without a label count as ${TASK.unlabelled_class}, by convention: the curve's beginning may be meaningless` : TASK.per_step ? "of all steps so far" : "if the signal ended there", anytime),
    exits.length && plot({ title: "Early exit: accuracy against time", x: { label: "mean steps read" }, y: { label: "accuracy", max: 1, text: share }, series: exits, height: 260, legend: true }),
  ].filter(Boolean)));
}

function classesSection() {
  const best = TASK.class_names.map((_, c) => Math.max(...RUNS.map(run => run.recall[c] ?? -1)));
  section("classes", "Classes", null, table("Recall of each class", ["class", ...RUNS.map(run => run.name)], TASK.class_names.map((name, c) => [name, ...RUNS.map(run => ({ text: percent(run.recall[c], 1), best: best[c] > 0 && run.recall[c] === best[c] && RUNS.some(other => other.recall[c] !== best[c]) }))]), "measures"));
}

function energySection() {
  const host = el("div", {}), models = ["paper", "fp32", "neurobench", "memory"].filter(m => DATA.energy.networks.some(n => n.models[m]));
  const show = model => host.replaceChildren(plot({ title: "Energy per step against error", subtitle: "lower left is better", x: { label: "energy per step", log: true, text: energy }, y: { label: "error", text: share }, height: 320, pad: true, labels: RUNS.length <= 9, legend: true,
    series: DATA.energy.networks.map((one, i) => ({ name: RUNS[i].name, x: [one.models[model] ? one.models[model].energy_pj.step : null], y: [one.models[model] && one.accuracy != null ? 1 - one.accuracy : null], colour: colour(i), points: true })) }));
  show(models.includes("fp32") ? "fp32" : models[0]);
  section("energy", "Energy against error", "Counted operations times prices; nothing was measured on a device.", chips("model", "Energy by", models.map(m => [m, { paper: "the paper's rules", fp32: "fp32", neurobench: "NeuroBench", memory: "with memory" }[m]]), models.includes("fp32") ? "fp32" : models[0], show), host);
}

function differencesSection() {
  const word = value => value === null || value === undefined ? NONE : typeof value === "object" ? JSON.stringify(value) : String(value);
  const block = (title, rows, none) => rows.length ? table(title, ["setting", ...RUNS.map(run => run.name)], rows.map(row => [row.key, ...row.values.map(v => ({ text: word(v), words: true }))]), "settings") : el("p", { class: "lead" }, none);
  section("differences", "What differs", "Only settings that differ between runs.", el("div", { class: "stack" }, block("Recipes", DATA.recipes, "All runs have the same recipe."), block("Environments", DATA.environments, "All runs have the same environment.")));
}

(function comparison() {
  document.getElementById("over").textContent = "srnn report";
  document.getElementById("title").textContent = `${TASK.name}: ${RUNS.length} runs`;
  document.getElementById("subtitle").textContent = `${RUNS.map(run => run.name).join(", ")} · ${DATA.split} split`;
  measuresSection();
  curvesSection();
  energySection();
  classesSection();
  differencesSection();
  document.getElementById("footer").textContent = `Made by srnn report; measured on the ${DATA.split} split. The numbers are those of srnn report --json.`;
})();
