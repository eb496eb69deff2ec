// The sections of a run's page, each from its part of the data.

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

function classes() {
  const report = EVALUATION.classes, names = report.class_names;
  const recall = table("Recall and precision", ["class", "labelled", "recall", "precision"], names.map((name, i) => [
    name, whole(report.support[i]), { text: percent(report.recall[i], 1), more: el("span", { class: "bar" }, el("i", { style: `width:${100 * (report.recall[i] || 0)}%` })) }, percent(report.precision[i], 1)]), names.length > 12 ? "long" : null);
  const words = [`Balanced accuracy (mean recall) ${percent(report.balanced_accuracy)}.`];
  if (report.frame_error_rate != null) words.push(`Frame error rate ${percent(report.frame_error_rate)}.`);
  if (report.accuracy_without_silence != null) words.push(`Accuracy without silence ${percent(report.accuracy_without_silence)}.`);
  section("classes", "Classes", "Confusions. A row is a true class, a column a predicted one; fractions are of the row.",
    el("div", { class: "columns" }, names.length <= 12 ? confusionTable(report) : el("div", { class: "stack" }, confusionPicture(report), confusionList(report)), recall), el("p", { class: "note" }, words.join(" ")));
}

/** Of what the intervals are: labelled steps only, where others count as a class by convention. */
const LABELLED = EVALUATION.accuracy_labelled != null ? "accuracy of the labelled steps" : "accuracy";

function groups() {
  const { by_group: by, interval, count } = EVALUATION.groups;
  if (!by) return;
  const order = by.names.map((_, i) => i).filter(i => by.accuracy[i] != null).sort((a, b) => by.accuracy[a] - by.accuracy[b]);
  section("groups", "Groups", `The ${LABELLED} for each record, speaker or subject, the least accurate first.`,
    table("Accuracy by group", ["group", "sequences", "labelled", "accuracy"], order.map(i => [by.names[i], whole(by.sequences[i]), whole(by.counted[i]),
      { text: percent(by.accuracy[i], 1), more: el("span", { class: "bar" }, el("i", { style: `width:${100 * by.accuracy[i]}%` })) }]), order.length > 12 ? "long" : null),
    el("p", { class: "note" }, !interval ? "No confidence interval: with labels in fewer than two groups, nothing shows how much they differ." : `95 % confidence interval over ${whole(count)} groups: ${percent(interval[0], 1)} to ${percent(interval[1], 1)}. Sequences of one group are alike, so its width depends on how much groups differ, and on how few there are.`));
}

/** Whether a decision's confidence is its chance of being right. */
function calibration() {
  const found = EVALUATION.calibration, full = { min: 0, max: 1, text: share }, filled = found.counted.map((_, k) => k).filter(k => found.counted[k]);
  if (!filled.length) return;
  const points = v => `${Math.abs(100 * v).toFixed(1)} points`;
  section("calibration", "Calibration", "Whether a decision of 90 % confidence is right nine times out of ten.", el("div", { class: "columns" },
    plot({ title: "Accuracy against confidence", subtitle: "below the diagonal: more confident than right", x: { label: "confidence", ...full }, y: { label: "accuracy", ...full }, height: 260, legend: true, series: [
      { name: "as often right as confident", x: [0, 1], y: [0, 1], colour: "var(--soft)", dash: true, thin: true },
      { name: "decisions by confidence", x: filled.map(k => found.confidence[k]), y: filled.map(k => found.accuracy[k]), colour: "var(--c0)", points: true }] }),
    table("Decisions by confidence", ["confidence", "decisions", "accuracy"], filled.map(k => [`${10 * k} to ${10 * k + 10} %`, whole(found.counted[k]), percent(found.accuracy[k], 1)]))),
    el("p", { class: "note" }, `Expected calibration error ${points(found.error)}: the mean difference between confidence and accuracy. On average, confidence is ${points(found.excess)} ${found.excess < 0 ? "below" : "above"} accuracy.`));
}

const shareOf = row => { const total = row.reduce((a, b) => a + b, 0); return row.map(n => total ? n / total : 0); };

/** A colour between two: so much of the first. */
function mixed(one, other, part) {
  const channel = (hex, i) => parseInt(hex.slice(i, i + 2), 16);
  return "#" + [1, 3, 5].map(i => Math.round(part * channel(one, i) + (1 - part) * channel(other, i)).toString(16).padStart(2, "0")).join("");
}

function confusionTable(report) {
  const names = report.class_names, cells = report.confusion.map((row, i) => shareOf(row).map((share, j) =>
    el("td", { title: `${names[i]} taken for ${names[j]}: ${whole(row[j])}` }, row[j] ? (share >= .005 ? (100 * share).toFixed(0) : "·") : "")));
  const host = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion matrix" }, el("table", { class: LONG ? "confusion long" : "confusion", style: `min-width:${(LONG ? 120 : 30) + 30 * names.length}px` }, el("caption", {}, "Confusion"),
    el("thead", {}, el("tr", {}, el("td", {}), names.map(name => el("th", { scope: "col", title: name }, el("span", {}, name))))),
    el("tbody", {}, cells.map((row, i) => el("tr", {}, el("th", { scope: "row" }, names[i]), row)))), el("p", { class: "note" }, "In percent of the row; blue is right, orange is wrong (2.5 times as strong)."));
  drawIn(host, () => report.confusion.forEach((row, i) => shareOf(row).forEach((share, j) => {
    const back = mixed(colourOf(i === j ? "--c0" : "--c1"), colourOf("--grid"), Math.min(1, share * (i === j ? 1 : 2.5)));
    Object.assign(cells[i][j].style, { background: back, color: onColour(back) });
  })));
  return host;
}

/** What a picture shows only to a pointer. */
function confusionList(report) {
  const names = report.class_names, wrong = report.confusion.flatMap((row, i) => shareOf(row).map((share, j) => ({ i, j, count: row[j], share }))).filter(one => one.i !== one.j && one.count);
  const most = wrong.sort((a, b) => b.count - a.count || b.share - a.share).slice(0, 10);
  return most.length ? table("Most frequent confusions", ["true class", "taken for", "times", "of the class"], most.map(one => [names[one.i], { text: names[one.j], words: true }, whole(one.count), percent(one.share, 1)])) : null;
}

/** For many classes: the matrix as a picture; the counts under the pointer. */
function confusionPicture(report) {
  const names = report.class_names, n = names.length, host = el("div", {}), tip = el("div", { class: "tip", hidden: true });
  const figure = el("figure", {}, el("figcaption", {}, "Confusion", el("small", {}, `${n} classes; blue is right, orange is wrong`)), host, tip);
  drawIn(host, () => {
    const size = Math.min(host.clientWidth, 460), cell = size / n;
    const root = svg("svg", { class: "plot", style: `width:${size}px`, height: size, viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": `Confusion matrix of ${n} classes; tables have recall, precision and the most frequent confusions` });
    root.append(svg("rect", { width: size, height: size, fill: "var(--grid)" }));
    report.confusion.forEach((row, i) => shareOf(row).forEach((share, j) => share && root.append(svg("rect", { x: j * cell, y: i * cell, width: cell, height: cell, fill: `var(${i === j ? "--c0" : "--c1"})`, opacity: Math.min(1, .08 + share * (i === j ? 1 : 2.5)) }))));
    root.addEventListener("pointermove", event => {
      const box = root.getBoundingClientRect(), i = Math.floor((event.clientY - box.top) / cell), j = Math.floor((event.clientX - box.left) / cell);
      if (!(report.confusion[i] && report.confusion[i][j] != null)) return;
      tip.textContent = `${names[i]} taken for ${names[j]}: ${whole(report.confusion[i][j])}`;
      tip.hidden = false; tip.style.left = Math.min((j + 1) * cell, size - 120) + "px"; tip.style.top = (i + 1) * cell + 40 + "px";
    });
    root.addEventListener("pointerleave", () => { tip.hidden = true; });
    host.replaceChildren(root);
  });
  return figure;
}

function overTime() {
  const curve = EVALUATION.anytime;
  if (!curve) return;
  const parts = [], full = { label: "accuracy", min: 0, max: 1, text: share };
  const axisLabel = STEP_MS ? `steps of ${short(STEP_MS)} ms` : "steps";
  const steps = curve.accuracy.map((_, i) => i + 1), labelled = curve.accuracy_labelled, later = curve.labelled_from > 1;
  const line = (name, y, more) => ({ name, x: steps, y, colour: "var(--c0)", ...more }), alone = { colour: "var(--c1)", thin: true };
  const marks = curve.settled_steps && !curve.per_step ? [{ x: curve.settled_steps, text: `settled at ${curve.settled_steps}` }] : [];
  const future = curve.online ? null : "the network is bidirectional: these decisions use the future";
  const add = (title, subtitle, series) => parts.push(plot({ title, subtitle: [subtitle, future].filter(Boolean).join("; ") || null, x: { label: axisLabel, min: 1, max: steps.length }, y: full, series, marks }));
  if (!curve.per_step) add("Accuracy over time", null, [line("if it ended here", curve.accuracy)]);
  else if (!labelled) add("Accuracy over time", null, [line("at this step only", curve.at_step, alone), line("all steps so far", curve.accuracy)]);
  else {
    add("Accuracy over time, labelled steps", later && `from step ${curve.labelled_from} on; before it all labels are equal`, [line("at this step only", curve.at_step_labelled, alone), line("all labelled steps so far", labelled)]);
    add("Accuracy over time, all steps", `those without a label count as ${DATA.task.unlabelled_class}, by convention${later ? `; before step ${curve.labelled_from} all labels are equal` : ""}`, [line("at this step only", curve.at_step, alone), line("all steps so far", curve.accuracy)]);
  }
  if (curve.per_step && curve.after_change.some(v => v != null)) parts.push(plot({ title: "After a change of the true class", subtitle: "how fast the network follows", x: { label: `steps since the change` }, y: full, series: [{ name: "accuracy", x: curve.after_change.map((_, i) => i), y: curve.after_change, colour: "var(--c2)", area: true }] }));
  const found = EVALUATION.exit;
  if (found) {
    const points = [...found.curve].sort((a, b) => a.mean_steps - b.mean_steps), chosen = found.policy.confidence != null;
    parts.push(plot({ title: "Early exit: accuracy against time", subtitle: "one point for each confidence at which the network would decide", x: { label: "mean steps read" }, y: { label: "accuracy", text: share, max: 1 }, series: [
      { name: "any confidence", x: points.map(p => p.mean_steps), y: points.map(p => p.accuracy), colour: "var(--c2)" },
      chosen && { name: "chosen on validation", x: [found.result.mean_steps], y: [found.result.accuracy], colour: "var(--c1)", points: true },
      { name: "waiting for the end", x: [found.waiting.mean_steps], y: [found.waiting.accuracy], colour: "var(--c0)", points: true }].filter(Boolean) }));
  }
  const words = found && found.policy.confidence != null ? ` The policy decides at confidence ${found.policy.confidence}${found.policy.patience > 1 ? `, for ${found.policy.patience} consecutive steps` : ""}${found.policy.earliest > 1 ? `, not before step ${found.policy.earliest}` : ""}: ${percent(found.result.accuracy)} after ${stepsOf(found.result.mean_steps)} on average, instead of ${percent(found.waiting.accuracy)} after ${short(found.waiting.mean_steps)}.` : "";
  section("time", "Accuracy over time", (curve.per_step ? "The network's accuracy from the first step to the last." : "The network's accuracy if it had to decide earlier.") + words, el("div", { class: "columns" }, parts), changeTimes());
}

/** Time to decision after a change of the true class. */
function changeTimes() {
  const found = EVALUATION.change_times;
  if (!found || !found.changes) return null;
  const wait = (mean, median) => mean == null ? NONE : { text: short(mean), more: [`median ${short(median)}`, inTime(mean, STEP_MS)].filter(Boolean).join("; ") };
  return el("div", { class: "below" }, table("Time to decision", ["confidence", "sure of a class", "steps until then", "then right", "sure and right", "steps until then"], found.points.map(one => [
    String(one.confidence), percent(one.reached, 1), wait(one.mean_steps, one.median_steps), percent(one.accuracy_reached, 1), percent(one.right, 1), wait(one.right_mean_steps, one.right_median_steps)]), "measures"),
    el("p", { class: "note" }, `Steps after each of ${whole(found.changes)} changes of the true class until any class, and the true class, reaches this confidence before the class changes again. A network that is sure at once may still be sure of the previous class.${found.label_lag ? ` Labels come ${[whole(found.label_lag), inTime(found.label_lag, STEP_MS)].filter(Boolean).join(" steps, ")} after what they name; these steps are counted from the label.` : ""}${found.online ? "" : " The network is bidirectional: these decisions use the future."}`));
}

function waves() {
  const found = EVALUATION.delineation;
  if (!found) return;
  const rows = [];
  for (const wave of ["P", "QRS", "T"]) {
    const one = found[wave];
    rows.push([wave, whole(one.reference), percent(one.sensitivity, 1), percent(one.ppv, 1), "", "", ""]);
    for (const border of ["onset", "offset"]) if (one[border]) {
      const b = one[border];
      rows.push(Object.assign([`${wave} ${border}`, whole(b.reference), percent(b.sensitivity, 1), percent(b.ppv, 1), b.mean_ms == null ? NONE : (b.mean_ms > 0 ? "+" : "") + b.mean_ms.toFixed(1).replace("-", "−"), b.sd_ms == null ? NONE : b.sd_ms.toFixed(1), String(b.cse_tolerance_ms)], { sub: true }));
    }
  }
  section("waves", "Delineation", `Borders of the heart's waves, found within ${short(found.tolerance_ms)} ms of the cardiologist's. Errors are predicted minus true: late is positive.`,
    table("Waves and their borders", ["wave", "labelled", "sensitivity", "ppv", "mean error, ms", "sd, ms", "experts, ms"], rows),
    el("p", { class: "note" }, "ppv: fraction of the predictions that are right. Experts: two standard deviations between experts (CSE Working Party, 1985; published)."));
}

function activity() {
  const found = EVALUATION.activity;
  if (!found) return;
  const parts = found.layers.map((layer, i) => {
    const rates = [...layer.rates].sort((a, b) => b - a);
    return plot({ title: `${layerName(layer.name)}: ${rates.length} neurons`, subtitle: `mean ${short(layer.rate)}; ${layer.dead.length} ${SPIKING ? "never fire" : "are always 0"}, ${layer.saturated.length} ${SPIKING ? "fire" : "are not 0"} in over ${percent(found.saturated_above, 0)} of all steps`, height: 190,
      x: { label: "neurons, most active first", min: 0, max: rates.length }, y: { label: SPIKING ? "spikes per step" : "fraction of steps not 0", min: 0 }, series: [{ name: "rate", x: rates.map((_, n) => n).concat(rates.length), y: rates, step: true, area: true, colour: `var(${layerColour(i)})` }] });
  });
  section("activity", "Activity", `The hidden neurons on the ${EVALUATION.split} split: ${short(found.sops_per_step)} ${SPIKING ? "synaptic operations" : "operations of outputs that are not 0, which multiply,"} per step, ${short(found.sops_per_sequence)} per sequence; of these ${short(found.inputs.sops_per_step)} per step come from the input.`, el("div", { class: "columns" }, parts));
}

const layerName = name => name.startsWith("readout") ? "Readout" : name === "encoder" ? "Encoder" : `Layer ${Number(name.split(".")[1]) + 1}` + (name.includes("forward") ? ", forwards" : name.includes("backward") ? ", backwards" : "");

function timeConstants() {
  if (!DATA.histograms.length) return;
  const parts = DATA.histograms.map((one, i) => {
    const about = EVALUATION.time_constants[i], kind = one.name.split(".").pop().replace("tau_mem", "membrane").replace("tau_adp", "adaptation");
    const mean = part => part ? `${short(part.mean)} ± ${short(part.std)}` : NONE;
    return plot({ title: `${layerName(one.name)}: ${kind}`, subtitle: `${mean(about.initial)} before training, ${mean(about.now)} now${about.trained ? "" : "; not trained"}`, height: 170, x: { label: STEP_MS ? `steps of ${short(STEP_MS)} ms` : "steps", log: one.log, min: one.edges[0], max: one.edges[one.edges.length - 1] }, y: { label: "neurons", min: 0, whole: true }, series: [
      one.initial && { name: "before training", x: one.edges, y: one.initial, step: true, dash: true, colour: "var(--soft)", thin: true },
      { name: "now", x: one.edges, y: one.now, step: true, area: true, colour: "var(--c2)" }].filter(Boolean) });
  });
  section("constants", "Time constants", "How training changed them, over the neurons of each layer.", el("div", { class: "columns" }, parts));
}

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
