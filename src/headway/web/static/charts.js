// <metric-charts src="..."> draws the curves that a JSON address gives, in the page's own colours.

const COLOURS = ["--line-1", "--line-2", "--line-3", "--line-4"];
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3]];

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A token may be light-dark(...), which a canvas cannot read: ask the browser for the colour in force.
function colour(name) {
  const probe = document.createElement("span");
  probe.className = `probe${name}`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found || token(name);
}

function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(2);
  return String(Number(value.toPrecision(5)));
}

// One x axis for all lines; a line has no value where another has its points.
function table(chart) {
  const xs = [...new Set(chart.series.flatMap((each) => each.x))].sort((a, b) => a - b);
  const place = new Map(xs.map((x, index) => [x, index]));
  const columns = [];
  for (const each of chart.series) {
    for (const values of [each.y, each.low, each.high]) {
      const column = new Array(xs.length).fill(null);
      each.x.forEach((x, index) => { column[place.get(x)] = values[index]; });
      columns.push(column);
    }
  }
  return [xs, ...columns];
}

function options(chart, width, logarithmic) {
  const axis = { stroke: colour("--text-2"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "11px system-ui" };
  const series = [{ label: chart.axis }];
  const bands = [];
  chart.series.forEach((each, index) => {
    const stroke = colour(COLOURS[index % COLOURS.length]);
    const at = series.length;
    series.push({ label: each.label, stroke, width: 1.75, dash: DASHES[index % DASHES.length], spanGaps: true, points: { show: each.x.length < 40, size: 4 } });
    series.push({ label: `${each.label} lowest`, stroke, width: 0, spanGaps: true, points: { show: false } });
    series.push({ label: `${each.label} highest`, stroke, width: 0, spanGaps: true, points: { show: false } });
    bands.push({ series: [at + 2, at + 1], fill: colour(`${COLOURS[index % COLOURS.length]}-band`) });
  });
  return {
    width,
    height: 190,
    series,
    bands,
    legend: { show: false },
    cursor: { y: false },
    scales: { x: { time: false }, y: { distr: logarithmic ? 3 : 1 } },
    axes: [{ ...axis, size: 34 }, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : short(tick))) }],
  };
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function summary(chart) {
  return chart.series.map((each) => {
    const low = Math.min(...each.low.filter((y) => y !== null));
    const high = Math.max(...each.high.filter((y) => y !== null));
    const seen = each.total > each.x.length ? `, drawn from ${each.total.toLocaleString("en")} points` : "";
    return `${each.label}: last ${short(each.y.at(-1))}, lowest ${short(low)}, highest ${short(high)}${seen}`;
  });
}

function numbers(chart) {
  const head = element("tr", {}, element("th", { scope: "col" }, chart.axis), ...chart.series.map((each) => element("th", { scope: "col", class: "num" }, each.label)));
  const data = table(chart);
  const rows = data[0].slice(0, 200).map((x, index) => element("tr", {}, element("th", { scope: "row" }, short(x)), ...chart.series.map((_, which) => element("td", { class: "num" }, short(data[1 + which * 3][index])))));
  return element("table", {}, element("caption", { class: "unseen" }, `${chart.metric} as numbers`), element("thead", {}, head), element("tbody", {}, ...rows));
}

class MetricCharts extends HTMLElement {
  connectedCallback() {
    this.drawn = new Map();
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this);
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => { this.drawn.clear(); this.last && this.show(this.last); };
    this.dark.addEventListener("change", this.redraw);
    this.load();
  }

  disconnectedCallback() {
    this.observer.disconnect();
    this.dark.removeEventListener("change", this.redraw);
    clearTimeout(this.timer);
  }

  async load() {
    try {
      const answer = await fetch(this.getAttribute("src"), { headers: { accept: "application/json" } });
      const body = await answer.json();
      if (!answer.ok) throw new Error(`${body.message}${body.hint ? ` Try: ${body.hint}` : ""}`);
      this.last = body;
      this.show(body);
      if (body.is_live && this.isConnected) this.timer = setTimeout(() => this.load(), 3000);
    } catch (error) {
      if (!this.last) this.replaceChildren(element("p", { class: "problem", role: "alert" }, `The curves cannot be shown: ${error.message}`));
      if (this.isConnected) this.timer = setTimeout(() => this.load(), 10000);
    }
  }

  show(body) {
    if (!body.charts.length) {
      this.drawn.clear();
      const words = body.is_live ? "No metric has more than one value yet." : "No metric has more than one value: there is no curve to draw.";
      this.replaceChildren(element("p", { class: "quiet-line" }, words));
      return;
    }
    if (!this.drawn.size) this.replaceChildren(this.grid = element("div", { class: "charts" }));
    for (const chart of body.charts) {
      const known = this.drawn.get(chart.metric);
      if (known && known.series === chart.series.length) this.renew(known, chart);
      else this.draw(chart);
    }
    if (body.left_out && !this.more) this.append(this.more = element("p", { class: "note" }, `${body.left_out} more metrics are not drawn.`));
  }

  draw(chart) {
    const holder = element("div", { class: "canvas", role: "img", "aria-label": `${chart.metric}. ${summary(chart).join("; ")}` });
    const scale = element("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "log scale");
    const legend = element("ul", { class: "legend" });
    const fold = element("details", {}, element("summary", {}, "as a table"));
    const figure = element("figure", {}, element("figcaption", {}, element("strong", {}, chart.metric), scale), holder, legend, fold);
    const known = { figure, holder, legend, fold, series: chart.series.length, logarithmic: false };
    this.grid.append(figure);
    this.drawn.set(chart.metric, known);
    const plot = () => {
      known.plot?.destroy();
      known.plot = new uPlot(options(known.chart, Math.max(240, holder.clientWidth), known.logarithmic), table(known.chart), holder);
    };
    scale.addEventListener("click", () => {
      known.logarithmic = !known.logarithmic;
      scale.setAttribute("aria-pressed", String(known.logarithmic));
      plot();
    });
    fold.addEventListener("toggle", () => { if (fold.open && fold.children.length < 2) fold.append(element("div", { class: "scroll short" }, numbers(known.chart))); });
    known.chart = chart;
    plot();
    this.tell(known, chart);
  }

  renew(known, chart) {
    known.chart = chart;
    known.plot.setData(table(chart));
    this.tell(known, chart);
  }

  tell(known, chart) {
    const lines = summary(chart);
    known.holder.setAttribute("aria-label", `${chart.metric}. ${lines.join("; ")}`);
    known.legend.replaceChildren(...lines.map((words, index) => element("li", { class: `line-${index % COLOURS.length + 1}` }, words)));
    if (!known.fold.open) while (known.fold.children.length > 1) known.fold.lastChild.remove();
  }

  fit() {
    for (const known of this.drawn?.values() ?? []) {
      const width = Math.max(240, known.holder.clientWidth);
      if (known.plot && Math.abs(known.plot.width - width) > 2) known.plot.setSize({ width, height: 190 });
    }
  }
}

customElements.define("metric-charts", MetricCharts);
