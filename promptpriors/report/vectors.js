// The explorer's table: a row is a prompt vector, and its first cell a button that chooses it.
page.vectors = (() => {
  const { all, charts, marks } = page;
  const table = document.getElementById("explore-table");

  function cell(row, text, key = text, tag = "td") {
    const made = row.appendChild(document.createElement(tag));
    made.textContent = text;
    made.dataset.key = key ?? "";
    return made;
  }
  function nearest(row, [best]) {
    const token = cell(row, "", best?.[0] ?? "");
    token.className = "text";
    token.appendChild(document.createElement("code")).textContent = best?.[0] ?? "–";
    cell(row, best ? best[1].toFixed(3) : "–", best?.[1]);
  }
  function pick(prompt, vector) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "pick", ariaPressed: "false" });
    button.ariaLabel = `${prompt.name}, vector ${vector}: show on the map`;
    const dot = button.appendChild(document.createElement("i"));
    dot.className = "swatch";
    dot.style.setProperty("--c", prompt.colour);
    button.append(prompt.name);
    return button;
  }
  function row(prompt, vector, nulls) {
    const made = document.createElement("tr");
    made.vector = [prompt, vector];
    const head = cell(made, "", prompt.name, "th");
    head.scope = "row";
    head.appendChild(pick(prompt, vector));
    cell(made, vector);
    nearest(made, prompt.nearest.initial[vector]);
    nearest(made, prompt.nearest.final[vector]);
    cell(made, nulls).className = "text";
    cell(made, marks.digits(prompt.displacements[vector]), prompt.displacements[vector]);
    cell(made, "");
    return made;
  }

  // All vectors of a chart; the heading names what their cosines are held against.
  function fill({ chart }) {
    const values = chart.nulls.map(([, value]) => value.toFixed(2)).join(" / ") || "–";
    const names = chart.nulls.map(([name]) => name).join(" / ");
    all("button", table.tHead)[6].textContent = names ? `Null: ${names}` : "Null";
    const rows = chart.prompts.flatMap(prompt =>
      Array.from({ length: prompt.length }, (_, vector) => row(prompt, vector, values)));
    table.tBodies[0].replaceChildren(...rows);
    all("th", table.tHead).forEach(heading => heading.removeAttribute("aria-sort"));
    table.parentElement.hidden = !rows.length;
  }

  // The distances at the moment shown, of the runs shown.
  function update(view) {
    for (const row of table.tBodies[0].rows) {
      const [prompt, vector] = row.vector;
      const value = charts.distance(prompt, charts.moment(prompt, view.step()), vector);
      row.cells[8].textContent = marks.digits(value);
      row.cells[8].dataset.key = value ?? "";
      row.hidden = !view.shown(prompt);
    }
  }

  // Choose a row, or none where it was chosen already, and bring it into its frame.
  function choose(run, vector) {
    const rows = [...table.tBodies[0].rows];
    const found = rows.find(({ vector: [prompt, v] }) => prompt.run === run && v === vector);
    const chosen = found?.classList.contains("chosen") ? null : found;
    rows.forEach(other => {
      other.classList.toggle("chosen", other === chosen);
      other.querySelector("button").ariaPressed = String(other === chosen);
    });
    if (!chosen) return null;
    const box = table.parentElement, { offsetTop: top, offsetHeight: height } = chosen;
    const least = top + height - box.clientHeight, most = top - table.tHead.offsetHeight;
    box.scrollTop = Math.max(Math.min(box.scrollTop, most), least);
    return chosen.vector;
  }

  function listen(chosen) {
    table.tBodies[0].addEventListener("click", event => {
      const found = event.target.closest("tr");
      if (found) chosen(found.vector[0].run, found.vector[1]);
    });
  }
  return { fill, update, choose, listen };
})();
