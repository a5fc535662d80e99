"use strict";
const page = (() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Sorting: a heading is a button, so a keyboard reaches it; what is missing stays last.
  function sort(table, column) {
    const heading = table.tHead.rows[0].cells[column];
    const sign = heading.ariaSort === "ascending" ? -1 : 1;
    const numeric = !heading.classList.contains("text");
    const key = row => row.cells[column]?.dataset.key ?? "";
    const compare = (a, b) => (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
    const order = (a, b) => (key(a) === "") - (key(b) === "") || sign * compare(key(a), key(b));
    all("th", table.tHead).forEach(other => other.removeAttribute("aria-sort"));
    heading.ariaSort = sign > 0 ? "ascending" : "descending";
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
  }
  all("table.sortable").forEach(table =>
    all("thead button", table).forEach((button, column) =>
      button.addEventListener("click", () => sort(table, column))));

  // The page's colours and font, given to plotly as dotted layout keys.
  function theme() {
    const style = getComputedStyle(document.documentElement);
    const [ink, soft, line, raised] = ["--ink", "--soft", "--line", "--raised"]
      .map(name => style.getPropertyValue(name).trim());
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      "font.color": soft, "font.family": style.fontFamily, "font.size": 13,
      "hoverlabel.bgcolor": raised, "hoverlabel.bordercolor": line, "hoverlabel.font.color": ink,
      "hoverlabel.font.family": style.fontFamily, "modebar.bgcolor": "rgba(0,0,0,0)",
      "modebar.color": soft, "modebar.activecolor": ink,
    };
    for (const axis of ["xaxis", "yaxis"]) {
      layout[`${axis}.gridcolor`] = layout[`${axis}.linecolor`] = line;
    }
    return layout;
  }
  const paper = () => getComputedStyle(document.body).backgroundColor;
  function put(layout, path, value) {
    const keys = path.split(".");
    const last = keys.pop();
    keys.reduce((inner, key) => (inner[key] ??= {}), layout)[last] = value;
  }

  // Figures are drawn when they come near the window, and at most four maps live at a time.
  const config = {
    responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d", "toImage"],  // buttons below do
  };
  const webgl = !!document.createElement("canvas").getContext("webgl");
  const clouds = {};
  let maps = [];
  function cloud(index) {
    const whole = clouds[index] ??= JSON.parse(document.getElementById(`cloud-${index}`).textContent);
    return { ...whole };
  }
  function visible(trace, plot) {
    const chips = all(".chip", plot.closest(".group"));
    const choice = plot.closest("figure").querySelector(".choice")?.value;
    return !chips.some(c => c.dataset.prior === trace.legendgroup && c.ariaPressed === "false")
      && (trace.meta?.choices?.includes(choice) ?? true);
  }
  function draw(plot) {
    if (plot.drawn) return;
    const figure = JSON.parse(plot.querySelector("script").textContent);
    for (const [path, value] of Object.entries(theme())) put(figure.layout, path, value);
    for (const trace of figure.data) {
      if (trace.meta?.cloud !== undefined) Object.assign(trace, cloud(trace.meta.cloud));
      if (!webgl && trace.type === "scattergl") trace.type = "scatter";
      if (trace.marker?.line?.color === "white") trace.marker.line.color = paper();
      trace.visible = visible(trace, plot);
    }
    if (figure.layout.yaxis?.scaleanchor) {  // a map is at most square
      figure.layout.height = Math.min(figure.layout.height, plot.clientWidth);
      plot.style.minHeight = `${figure.layout.height}px`;
    }
    for (const note of figure.layout.annotations ?? []) {  // what a narrow figure has no room for
      if (note.name === "wide") note.visible = plot.clientWidth > 680;
    }
    plot.drawn = plot.appendChild(document.createElement("div"));
    Plotly.newPlot(plot.drawn, figure.data, figure.layout, config);
    if (figure.data.some(trace => trace.type === "scattergl")) maps.push(plot);
    if (maps.length > 4) erase(maps[0]);
  }
  function erase(plot) {
    maps = maps.filter(other => other !== plot);
    Plotly.purge(plot.drawn);
    plot.drawn.remove();
    plot.drawn = null;
  }
  const near = new IntersectionObserver(
    seen => seen.filter(entry => entry.isIntersecting).forEach(entry => draw(entry.target)),
    { rootMargin: "400px" });
  const plots = all(".plot");
  plots.forEach(plot => near.observe(plot));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    plots.filter(plot => plot.drawn).forEach(plot => { erase(plot); draw(plot); }));

  // A chip shows or hides its prior in every figure of its group.
  all(".group .chip").forEach(chip => chip.addEventListener("click", () => {
    chip.ariaPressed = String(chip.ariaPressed === "false");
    for (const plot of all(".plot", chip.closest(".group"))) {
      const traces = plot.drawn?.data ?? [];
      const mine = traces.flatMap((t, i) => (t.legendgroup === chip.dataset.prior ? [i] : []));
      const shown = mine.map(i => visible(traces[i], plot));
      if (mine.length) Plotly.restyle(plot.drawn, { visible: shown }, mine);
    }
  }));

  // A link to a run's settings opens them.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target?.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", open);
  open();

  return { all, sort, theme, put, paper, config, webgl, draw, visible };
})();
