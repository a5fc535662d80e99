// Figures as images, figures and tables as CSV, by buttons that a keyboard reaches.
page.download = (() => {
  // Plotly's markup as text: what it shows as "<" is written "&lt;".
  const plain = text => String(text ?? "").replace(/<br>/g, "; ").replace(/<\/?[a-z][^>]*>/g, "")
    .replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

  // RFC 4180: fields with a comma, a quote or a line break are quoted, quotes doubled.
  function csv(rows) {
    const field = value => {
      const text = String(value ?? "");
      return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
    };
    return rows.map(row => row.map(field).join(",")).join("\r\n") + "\r\n";
  }

  function hand(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  // A sound file name from a label.
  const named = label => label.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)
    .replace(/^-|-$/g, "");

  function tableRows(table) {
    const rows = [...table.rows].filter(row => !row.hidden);
    return rows.map(row => [...row.cells].map(cell => cell.dataset.key ?? cell.innerText.trim()));
  }

  function figureRows(drawn) {
    const rows = [["trace", "x", "y", "text"]];
    for (const trace of drawn._fullData) {
      if (trace.meta?.band) continue;  // its edges stand in the text of its line
      for (let i = 0; i < (trace.x?.length ?? 0); i++) {
        const text = Array.isArray(trace.text) ? plain(trace.text[i]) : "";
        rows.push([plain(trace.name), trace.x[i], trace.y[i], text]);
      }
    }
    return rows;
  }

  // On the page's own ground: transparent images are unreadable in half of all places.
  function image(drawn, format, filename) {
    const { width, height } = drawn._fullLayout;
    const ground = { paper_bgcolor: page.paper(), plot_bgcolor: page.paper(), width, height };
    const layout = { ...drawn.layout, ...ground };
    const options = { format, filename, width, height, scale: 2 };
    return Plotly.downloadImage({ data: drawn.data, layout, config: page.config }, options);
  }

  function save(button) {
    const { save: format, of } = button.dataset;
    const name = named(button.parentElement.ariaLabel.split(": ").slice(1).join(" "));
    if (of === "table") {
      const scope = button.closest("figure, details, .explorer");
      const table = scope.querySelector("table");
      return hand(`${named(table.dataset.name ?? name)}.csv`, csv(tableRows(table)));
    }
    const plot = button.parentElement.previousElementSibling;
    const drawn = of === "explorer" ? page.explorer.map : (page.draw(plot), plot.drawn);
    const rows = of === "explorer" ? page.explorer.rows : () => figureRows(drawn);
    return format === "csv" ? hand(`${name}.csv`, csv(rows())) : image(drawn, format, name);
  }
  page.all("[data-save]").forEach(b => b.addEventListener("click", () => save(b)));
  return { csv, plain };
})();
