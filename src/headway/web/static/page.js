// Small things that HTML alone does not do: relative times, selects that submit, keys, folds that stay open.

function spoken(seconds) {
  const steps = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [2592000, "day", 86400]];
  const found = steps.find(([below]) => Math.abs(seconds) < below);
  if (!found) return null;
  if (found[1] === "second") return "just now";
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(seconds / found[2]), found[1]);
}

function tellTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const words = spoken((at - Date.now()) / 1000);
    time.title = at.toLocaleString();
    if (words) time.textContent = words;
  }
}

const open = new Map();

function keepFolds(root) {
  for (const fold of root.querySelectorAll("details[id]")) {
    if (open.has(fold.id)) fold.open = open.get(fold.id);
  }
}

document.addEventListener("toggle", (event) => {
  if (event.target.id) open.set(event.target.id, event.target.open);
}, true);

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const search = document.querySelector("[data-search], [role=search] input, .filters input");
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
  }
});

// A log that is followed stays at its end, unless the reader has gone up.
function follow() {
  const log = document.getElementById("log-lines");
  if (log && (log.dataset.end !== "no")) log.scrollTop = log.scrollHeight;
}

document.addEventListener("scroll", (event) => {
  const log = event.target;
  if (log.id === "log-lines") {
    log.dataset.end = log.scrollHeight - log.scrollTop - log.clientHeight < 40 ? "yes" : "no";
  }
}, true);

document.addEventListener("htmx:after:swap", () => {
  tellTimes(document);
  keepFolds(document);
  follow();
});

tellTimes(document);
setInterval(() => tellTimes(document), 30000);
