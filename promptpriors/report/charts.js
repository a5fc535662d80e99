// The explorer: one chart on one map, the prompts' ways under a slider, their vectors in a table.
page.explorer = (() => {
  const root = document.getElementById("explorer");
  if (!root) return null;
  const { all, charts, marks, vectors } = page;
  const part = name => document.getElementById(`explore-${name}`);
  const map = part("map"), slider = part("moment"), play = part("play");
  const pressed = chip => chip.ariaPressed === "true";

  const view = {
    chart: null, layout: "pca", frame: "all", domains: [], chosen: null,
    step: () => view.chart.steps[slider.value] ?? 0,
    shown: prompt => all(".chip", root).every(chip => pressed(chip)
      || (chip.dataset.prior !== prompt.prior && chip.dataset.run !== prompt.run)),
  };

  const draw = () => Plotly.react(map, marks.traces(view), marks.layout(view), page.config);

  // Only the prompts' traces change, at most once a frame.
  let waiting = 0;
  function move() {
    say();
    vectors.update(view);
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      const change = marks.moving(view), first = view.chart.domains.length;
      Plotly.restyle(map, change, change.x.map((_, i) => first + i));
    });
  }

  // The step, and the validation losses that were measured there.
  function say() {
    const [chosen] = view.chosen ?? [], seen = view.chart.prompts.filter(view.shown);
    const mine = seen.includes(chosen) ? [chosen] : seen;
    const found = mine.map(p => p.losses[p.steps.indexOf(view.step())]).filter(Number.isFinite);
    const [least, most] = [Math.min(...found), Math.max(...found)].map(value => value.toFixed(3));
    let loss = "validation loss not measured here";
    if (!seen.length) loss = "no run is shown";
    else if (found.length === 1) loss = `validation loss ${least}`;
    else if (found.length) loss = `validation loss ${least} to ${most} in ${found.length} runs`;
    if (mine.length === 1) loss += `, ${mine[0].name}`;
    const text = `step ${view.step()} of ${view.chart.steps.at(-1) ?? 0} · ${loss}`;
    part("said").textContent = slider.ariaValueText = text;
  }

  const CAPTIONS = {
    pca: "The plane of the points’ largest variance; prompts took no part in choosing it. It hides the rest: "
      + "points that are close here need not be close, and movement out of the plane is not seen.",
    tsne: "t-SNE keeps neighbours together; sizes of clusters, distances between them and directions mean "
      + "nothing. Prompts were placed among finished points.",
  };
  function caption() {
    const { points, whole, site, prompts } = view.chart, count = n => n.toLocaleString("en");
    const thin = points < whole ? `${count(points)} of ${count(whole)} points at ${site}, drawn at random to `
      + "keep the page small. " : `${count(points)} points at ${site}. `;
    const legend = prompts.length ? " Hollow: a prompt vector at the start; filled: at the step shown." : "";
    part("caption").textContent = thin + (CAPTIONS[view.layout] ?? "") + legend;
  }

  function box([name, colour], domain) {
    const label = document.createElement("label"), input = document.createElement("input");
    const dot = document.createElement("i");
    Object.assign(input, { type: "checkbox", checked: true });
    input.addEventListener("change", () => {
      view.domains[domain] = input.checked;
      Plotly.restyle(map, { visible: input.checked }, [domain]);
    });
    dot.className = "swatch";
    dot.style.setProperty("--c", colour);
    label.append(input, dot, name);
    return label;
  }

  function open(index) {
    pause();
    const chart = charts.open(index), layouts = Object.entries(chart.layouts);
    Object.assign(view, { chart, chosen: null, domains: chart.domains.map(() => true) });
    if (!chart.layouts[view.layout]) view.layout = "pca";
    part("layout").replaceChildren(...layouts.map(([key, { name }]) => new Option(name, key)));
    part("layout").value = view.layout;
    part("domains").replaceChildren(part("domains").firstElementChild, ...chart.domains.map(box));
    slider.max = Math.max(0, chart.steps.length - 1);
    slider.value = slider.max;
    part("player").hidden = !chart.prompts.length;
    for (const chip of all(".chip", root)) {
      const { prior, run } = chip.dataset;
      chip.disabled = !chart.prompts.some(prompt => prompt.prior === prior || prompt.run === run);
    }
    vectors.fill(view);
    vectors.update(view);
    caption();
    say();
    return draw();
  }

  // Playing: a moment every quarter of a second, from the start again after the end.
  let timer = 0;
  function pause() {
    clearInterval(timer);
    timer = 0;
    Object.assign(play, { textContent: "▶", ariaLabel: "Play the training" });
  }
  function advance() {
    if (Number(slider.value) < Number(slider.max)) slider.value = Number(slider.value) + 1;
    if (slider.value === slider.max) pause();
    move();
  }
  play.addEventListener("click", () => {
    if (timer) return pause();
    if (slider.value === slider.max) slider.value = 0;
    move();
    timer = setInterval(advance, 250);
    Object.assign(play, { textContent: "❚❚", ariaLabel: "Pause" });
  });
  slider.addEventListener("input", () => { pause(); move(); });

  part("chart").addEventListener("change", event => open(event.target.value));
  for (const name of ["layout", "frame"]) {
    part(name).addEventListener("change", event => {
      view[name] = event.target.value;
      caption();
      draw();
    });
  }
  all(".chip", root).forEach(chip => chip.addEventListener("click", () => {
    chip.ariaPressed = String(!pressed(chip));
    move();
  }));
  function choose(run, vector) {
    view.chosen = vectors.choose(run, vector);
    move();
  }
  vectors.listen(choose);

  // What the map shows, as rows of a CSV file.
  function rows() {
    const { chart, layout } = view;
    const found = [["kind", "name", "number", "token", "step", "x", "y"]];
    charts.clouds(chart, layout).forEach(({ x, y, rows }, d) => {
      if (!view.domains[d]) return;
      rows.forEach((row, i) => found.push(["point", chart.domains[d][0], chart.document[row],
        charts.token(chart, row), "", x[i], y[i]]));
    });
    for (const prompt of chart.prompts.filter(view.shown)) {
      prompt.steps.forEach((step, k) => {
        for (let vector = 0; vector < prompt.length; vector++) {
          const place = charts.place(prompt, layout, k, vector);
          found.push(["prompt", prompt.name, vector, "", step, ...place]);
        }
      });
    }
    return found;
  }

  open(0).then(() => performance.mark("drawn"));
  map.on("plotly_click", ({ points: [point] }) => {
    if (typeof point.customdata !== "string") return;
    const [run, vector] = point.customdata.split("/");
    choose(run, Number(vector));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  return { map, rows };
})();
