// A study's curves: which rate is shown, and which part of the training.
page.study = (() => {
  const { all } = page;

  // The second half of the steps, framed by what is shown of it.
  function framed(drawn, part) {
    if (part === "all") return { "xaxis.autorange": true, "yaxis.autorange": true };
    const shown = drawn._fullData.filter(t => t.visible === true);
    const curves = shown.filter(t => t.meta), arms = curves.filter(t => !t.meta.apart);
    const last = Math.max(...shown.flatMap(t => [...t.x]));
    const seen = (arms.length ? arms : curves).flatMap(t => [...t.y].filter((_, i) => t.x[i] >= last / 2));
    if (!seen.length) return { "xaxis.autorange": true, "yaxis.autorange": true };
    const low = Math.min(...seen), high = Math.max(...seen), room = 0.06 * (high - low) || 0.01;
    return { "xaxis.range": [last / 2, last], "yaxis.range": [low - room, high + room] };
  }

  function show(figure) {
    const plot = figure.querySelector(".plot"), drawn = (page.draw(plot), plot.drawn);
    const visible = drawn.data.map(trace => page.visible(trace, plot));
    Plotly.restyle(drawn, { visible });
    Plotly.relayout(drawn, framed(drawn, figure.querySelector(".part").value));
  }
  all(".study select").forEach(select =>
    select.addEventListener("change", () => show(select.closest("figure"))));

  // Of many arms it takes one click to hide all, so that the next ones show a few.
  all(".study .every").forEach(button => button.addEventListener("click", () => {
    const hide = button.textContent === "none";
    all(".chip", button.parentElement).filter(chip => (chip.ariaPressed === "true") === hide)
      .forEach(chip => chip.click());
    button.textContent = hide ? "all" : "none";
  }));
  return { show };
})();
