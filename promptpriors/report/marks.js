// What is drawn on the explorer's map: a view (chart, layout, moment, choice) in, traces out.
page.marks = (() => {
  const { charts } = page;
  const digits = value =>
    !Number.isFinite(value) ? "–" : Math.abs(value) >= 1000 ? String(Math.round(value)) : value.toPrecision(3);
  const ink = () => getComputedStyle(document.body).color;

  // What a mark says.
  function near(tokens) {
    return tokens.map(([token, cosine]) => `“${charts.escape(token)}” ${cosine.toFixed(3)}`).join(", ") || "–";
  }
  const nulls = view => view.chart.nulls.map(([name, value]) => `${name} ${value.toFixed(2)}`).join(", ");
  function says(view, prompt, vector, at) {
    const against = nulls(view) ? ` (null: ${charts.escape(nulls(view))})` : "";
    return [
      `<b>${charts.escape(prompt.name)}</b>`,
      `prior ${charts.escape(prompt.prior)}, vector ${vector}, step ${prompt.steps[at]}`,
      `nearest at the start: ${near(prompt.nearest.initial[vector])}`,
      `nearest at the end: ${near(prompt.nearest.final[vector])}${against}`,
      `from the start: ${digits(charts.distance(prompt, at, vector))}`
        + `, displacement at the end ${digits(prompt.displacements[vector])}`,
    ].join("<br>");
  }

  // Three traces a prior (ways so far, starts, marks), and two for the chosen vector.
  function way(view, prompt, vector, at) {
    return Array.from({ length: at + 1 }, (_, k) => charts.place(prompt, view.layout, k, vector));
  }
  function priors(view) {
    const names = [...new Set(view.chart.prompts.map(prompt => prompt.prior))];
    return names.map(name => view.chart.prompts.filter(prompt => prompt.prior === name));
  }
  function moving(view) {
    const traces = [];
    for (const mine of priors(view)) {
      const lines = [], starts = [], marks = [], texts = [], begun = [], keys = [];
      for (const prompt of mine.filter(view.shown)) {
        const at = charts.moment(prompt, view.step());
        for (let v = 0; v < prompt.length; v++) {
          const path = way(view, prompt, v, at);
          lines.push(...path, [NaN, NaN]);
          starts.push(path[0]);
          marks.push(path[at]);
          begun.push(says(view, prompt, v, 0));
          texts.push(says(view, prompt, v, at));
          keys.push(`${prompt.run}/${v}`);
        }
      }
      traces.push([lines, [], []], [starts, begun, keys], [marks, texts, keys]);
    }
    const [prompt, vector] = view.chosen ?? [];
    const path = prompt && view.shown(prompt) ? way(view, prompt, vector, charts.moment(prompt, view.step())) : [];
    traces.push([path, [], []], [path.slice(-1), [], []]);
    return {
      x: traces.map(([points]) => points.map(point => point[0])),
      y: traces.map(([points]) => points.map(point => point[1])),
      hovertext: traces.map(([, texts]) => texts),
      customdata: traces.map(([, , keys]) => keys),
    };
  }
  function dressed(view) {
    const traces = [];
    for (const [{ prior, colour, symbol }] of priors(view)) {
      const base = { type: "scattergl", name: charts.escape(prior) };
      const mark = { ...base, mode: "markers", hoverinfo: "text" };
      traces.push(
        { ...base, mode: "lines", hoverinfo: "skip", opacity: 0.65, line: { color: colour, width: 1.4 } },
        { ...mark, marker: { color: colour, symbol: `${symbol}-open`, size: 8, line: { width: 1.5 } } },
        { ...mark, marker: { color: colour, symbol, size: 10, line: { width: 1.2, color: page.paper() } } });
    }
    const base = { type: "scattergl", name: "chosen", hoverinfo: "skip" };
    traces.push(
      { ...base, mode: "lines", line: { color: ink(), width: 2.5 } },
      { ...base, mode: "markers", marker: { color: ink(), symbol: "circle-open", size: 22, line: { width: 2.5 } } });
    const { x, y, hovertext, customdata } = moving(view);
    return traces.map((t, i) => ({ ...t, x: x[i], y: y[i], hovertext: hovertext[i], customdata: customdata[i] }));
  }
  function grounds(view) {
    const size = view.chart.points > 10_000 ? 3 : 4.5;
    const opacity = view.chart.points > 10_000 ? 0.28 : 0.45;
    return charts.clouds(view.chart, view.layout).map(({ x, y, text }, d) => ({
      type: "scattergl", mode: "markers", x, y, hovertext: text, hoverinfo: "text",
      name: charts.escape(view.chart.domains[d][0]), visible: view.domains[d],
      marker: { color: view.chart.domains[d][1], size, opacity, line: { width: 0 } },
    }));
  }
  function layout(view) {
    const [x, y] = charts.frame(view.chart, view.layout, view.frame);
    const pca = view.layout === "pca", share = view.chart.explained;
    const axis = { zeroline: false, ticks: "", showticklabels: pca, automargin: pca };
    const found = {
      autosize: true, margin: pca ? { l: 56, r: 8, t: 8, b: 52 } : { l: 8, r: 8, t: 8, b: 8 },
      hovermode: "closest", hoverlabel: { align: "left", namelength: -1 },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      xaxis: { ...axis, range: x }, yaxis: { ...axis, range: y, scaleanchor: "x" },
    };
    for (const [path, value] of Object.entries(page.theme())) page.put(found, path, value);
    if (pca) {
      const font = { size: 13 };
      found.xaxis.title = { font, standoff: 8, text: `first principal direction, ${share[0]} % of the variance` };
      found.yaxis.title = { font, standoff: 8, text: `second, ${share[1]} %` };
    }
    return found;
  }

  function traces(view) {
    const all = [...grounds(view), ...dressed(view)];
    return page.webgl ? all : all.map(trace => ({ ...trace, type: "scatter" }));
  }
  return { traces, moving, layout, digits };
})();
