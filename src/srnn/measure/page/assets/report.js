// The page of one run.

(function report() {
  const { network, task } = DATA, kinds = [...new Set(network.neurons)].join(", ");
  const shape = [network.inputs, ...network.hidden, network.outputs].join(" – ");
  document.getElementById("over").textContent = "srnn report";
  document.getElementById("title").textContent = DATA.name;
  document.getElementById("subtitle").textContent = `${task.name}, which reads ${task.signal} · ${network.model} ${shape} (${kinds})${network.bidirectional ? ", bidirectional" : ""} · ${EVALUATION.split} split, ${whole(EVALUATION.n_sequences)} sequences · seed ${EVALUATION.seed}`;
  document.getElementById("main").append(tiles());
  if (DATA.samples.sequences.length) section("samples", "Step by step", "Real sequences of the split, spread evenly over it and not chosen by the network's accuracy on them. Move the slider, or point at a plot.", player(DATA.samples));
  classes();
  groups();
  calibration();
  overTime();
  waves();
  activity();
  timeConstants();
  energySection();
  trainingSection();
  healthSection();
  origin();
  document.getElementById("footer").textContent = `Made by srnn report; measured on the ${EVALUATION.split} split. The numbers are those of srnn report --json.`;
})();
