// The page of several runs of one task.

(function comparison() {
  const names = DATA.runs.map(run => run.name);
  document.getElementById("over").textContent = "srnn report";
  document.getElementById("title").textContent = `${DATA.task.name}: ${names.length} runs`;
  document.getElementById("subtitle").textContent = `${names.join(", ")} · ${DATA.split} split`;
  Object.entries(DATA.sections).forEach(([id, one]) => shown(id, one));
  document.getElementById("footer").textContent = `Made by srnn report; measured on the ${DATA.split} split. The numbers are those of srnn report --json.`;
})();
