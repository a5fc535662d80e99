// Charts as they are stored in the page, made into plotly's traces.
page.charts = (() => {
  const parse = id => JSON.parse(document.getElementById(id).textContent);
  const escape = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  function bytes(base64) {
    const raw = atob(base64), out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out.buffer;
  }
  const floats = base64 => new Float32Array(bytes(base64));
  let shared;

  function open(index) {
    shared ??= parse("shared");
    const chart = parse(`chart-${index}`);
    chart.domain = new Int16Array(bytes(chart.domain));
    chart.document = new Int32Array(bytes(chart.document));
    chart.token = new Int32Array(bytes(chart.token));
    chart.prompts = chart.prompts.map(prompt => ({
      ...prompt,
      ...shared.runs[prompt.run],
      ways: Object.fromEntries(Object.entries(prompt.ways).map(([k, v]) => [k, floats(v)])),
      distances: prompt.distances && floats(prompt.distances),
    }));
    chart.steps = [...new Set(chart.prompts.flatMap(prompt => prompt.steps))].sort((a, b) => a - b);
    chart.clouds = {};
    return chart;
  }

  // A layout's points, restored from their levels: one trace a domain.
  function clouds(chart, name) {
    return (chart.clouds[name] ??= scattered(chart, name));
  }
  function scattered(chart, name) {
    const { data, low, high } = chart.layouts[name];
    const levels = new Int16Array(bytes(data));
    const counts = chart.domains.map(() => 0);
    for (const d of chart.domain) counts[d]++;
    const first = chart.domains.map(() => Infinity), last = chart.domains.map(() => -Infinity);
    chart.domain.forEach((d, i) => {
      first[d] = Math.min(first[d], chart.document[i]);
      last[d] = Math.max(last[d], chart.document[i]);
    });
    const found = counts.map(n => ({
      x: new Float32Array(n), y: new Float32Array(n), rows: new Int32Array(n), text: new Array(n), used: 0,
    }));
    const names = chart.domains.map(([domain]) => escape(domain));
    const tokens = shared.shown ??= shared.tokens.map(escape);
    const scale = [0, 1].map(j => (high[j] - low[j]) / 65535);
    chart.domain.forEach((d, i) => {
      const into = found[d], at = into.used++;
      into.x[at] = low[0] + scale[0] * (levels[2 * i] + 32768);
      into.y[at] = low[1] + scale[1] * (levels[2 * i + 1] + 32768);
      into.rows[at] = i;
      const document_ = first[d] < last[d] ? `, document ${chart.document[i]}` : "";
      into.text[at] = `“${tokens[chart.token[i]]}”<br>${names[d]}${document_}`;
    });
    return found;
  }

  // The moment of a run at a step of the slider: the last one stored up to it.
  function moment(prompt, step) {
    let at = 0;
    while (at + 1 < prompt.steps.length && prompt.steps[at + 1] <= step) at++;
    return at;
  }
  function place(prompt, layout, at, vector) {
    const way = prompt.ways[layout], i = 2 * (at * prompt.length + vector);
    return way ? [way[i], way[i + 1]] : [NaN, NaN];
  }
  function distance(prompt, at, vector) {
    return prompt.distances ? prompt.distances[at * prompt.length + vector] : null;
  }

  // Fixed for a chart, a layout and a frame: the map does not move while prompts do.
  function frame(chart, layout, kind) {
    const { low, high } = chart.layouts[layout];
    const from = [...low], to = [...high];
    const ways = kind === "all" ? chart.prompts.map(prompt => prompt.ways[layout] ?? []) : [];
    for (const way of ways) {
      way.forEach((value, i) => {
        if (!Number.isFinite(value)) return;
        from[i % 2] = Math.min(from[i % 2], value);
        to[i % 2] = Math.max(to[i % 2], value);
      });
    }
    return from.map((value, j) => {
      const margin = 0.04 * (to[j] - value) || 1;
      return [value - margin, to[j] + margin];
    });
  }
  const token = (chart, row) => shared.tokens[chart.token[row]];
  return { open, clouds, moment, place, distance, frame, escape, token };
})();
