"use strict";
(() => {
  const store = document.getElementById("film");
  // Bars of variants say what they are in the line below them.
  document.querySelectorAll("[data-map]").forEach((map) => {
    const detail = map.closest("section").querySelector("[data-detail]");
    const tell = (event) => {
      if (event.target.matches("rect[tabindex]")) detail.textContent = event.target.getAttribute("aria-label");
    };
    for (const kind of ["mouseover", "focusin", "click"]) map.addEventListener(kind, tell);
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
  if (!store) return;

  const film = JSON.parse(store.textContent);
  const slider = document.getElementById("step");
  const words = document.getElementById("now-is");
  const reason = document.getElementById("reason");
  const detail = document.getElementById("detail");
  const pages = document.getElementById("pages");
  const NS = "http://www.w3.org/2000/svg";
  let chosen = null;

  const rect = (attributes) => {
    const shape = document.createElementNS(NS, "rect");
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    return shape;
  };

  const draw = (svg, node, bars) => {
    const shapes = [];
    bars.forEach((number, index) => {
      const [kind, x, width, share, text] = film.drawn[number];
      shapes.push(rect({ class: film.kinds[kind], x, y: 0, width, height: 40, role: "img",
        tabindex: index ? -1 : 0, "aria-label": text, "data-node": node, "data-bar": index }));
      if (share) {
        shapes.push(rect({ class: "memmap", x, y: 43, width, height: Math.max(share * 16, 2), "aria-hidden": "true" }));
      }
    });
    svg.replaceChildren(...shapes);
  };

  const size = (count) => {
    let bytes = count * film.page;
    for (const unit of ["B", "K", "M", "G", "T"]) {
      if (bytes < 1024) return (bytes % 1 ? bytes.toFixed(1) : bytes) + unit;
      bytes /= 1024;
    }
    return bytes.toFixed(1) + "P";
  };

  const cell = (row, tag, text, kind) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (kind) made.className = kind;
    if (tag === "th") made.scope = row.parentNode && row.parentNode.tagName === "THEAD" ? "col" : "row";
    row.append(made);
    return made;
  };

  const pfns = (runs, first, last) => {
    const all = first === last ? "0x" + first.toString(16) : "0x" + first.toString(16) + "-0x" + last.toString(16);
    return runs > 1 ? all + ", in " + runs + " runs" : all;
  };

  const holders = (rows) => {
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    const titles = { "who holds them": "text", pages: "", size: "", share: "text share", pfn: "text", flags: "text" };
    for (const [title, kind] of Object.entries(titles)) cell(head, "th", title, kind);
    const body = table.createTBody();
    const whole = rows.reduce((sum, row) => sum + row[1], 0);
    for (const [owner, count, runs, first, last, flags] of rows) {
      const row = body.insertRow();
      cell(row, "th", film.owners[owner]);
      cell(row, "td", count);
      cell(row, "td", size(count));
      const bar = document.createElement("i");
      bar.style.width = Math.max(100 * count / whole, 1) + "%";
      cell(row, "td", "", "share").append(bar);
      cell(row, "td", pfns(runs, first, last), "text pfn");
      cell(row, "td", film.flags[flags] || "-", "text");
    }
    return table;
  };

  const choose = (node, index, says = true) => {
    const frame = film.frames[Number(slider.value)];
    const bar = film.drawn[frame.bars[node][index]];
    chosen = { node, at: bar[1] + bar[2] / 2 };
    document.querySelectorAll("rect.chosen").forEach((shape) => shape.classList.remove("chosen"));
    const shape = document.querySelector(`rect[data-node="${node}"][data-bar="${index}"]`);
    if (shape) shape.classList.add("chosen");
    if (says || detail.textContent !== bar[4]) detail.textContent = bar[4];
    const rows = film.held[frame.held[node][index]];
    pages.replaceChildren(...(rows.length ? [holders(rows)] : []));
  };

  // What was chosen stays chosen: the bar that is now where it was; at first the last one, which is the newest memory.
  const again = (frame) => {
    const nodes = Object.keys(frame.bars).filter((node) => frame.bars[node].length);
    if (!nodes.length) return;
    const node = chosen && nodes.includes(chosen.node) ? chosen.node : nodes[nodes.length - 1];
    const bars = frame.bars[node].map((number) => film.drawn[number]);
    const hit = chosen ? bars.findIndex((bar) => bar[1] <= chosen.at && chosen.at <= bar[1] + bar[2]) : -1;
    const at = chosen && chosen.at;
    choose(node, hit < 0 ? bars.length - 1 : hit, false);
    if (hit < 0 && at !== null) chosen.at = at;
  };

  const show = (index) => {
    const frame = film.frames[index];
    slider.value = index;
    slider.setAttribute("aria-valuetext", frame.title);
    words.textContent = frame.title;
    reason.textContent = frame.refused ? "The kernel refused: " + frame.refused : "";
    document.querySelectorAll("div[data-node] svg").forEach((svg) =>
      draw(svg, svg.parentNode.dataset.node, frame.bars[svg.parentNode.dataset.node] || []));
    again(frame);
    const x = film.frames.length > 1 ? 1000 * index / (film.frames.length - 1) : 0;
    document.querySelectorAll(".now").forEach((line) => { line.setAttribute("x1", x); line.setAttribute("x2", x); });
    document.querySelectorAll("tr[data-frame]").forEach((row) => {
      const here = Number(row.dataset.frame) === index;
      row.classList.toggle("chosen", here);
      if (here) row.setAttribute("aria-current", "step"); else row.removeAttribute("aria-current");
    });
  };

  const move = (by) => {
    const next = Math.min(Math.max(Number(slider.value) + by, 0), film.frames.length - 1);
    if (next !== Number(slider.value)) show(next);
  };

  slider.addEventListener("input", () => show(Number(slider.value)));
  document.getElementById("back").addEventListener("click", () => move(-1));
  document.getElementById("forth").addEventListener("click", () => move(1));
  const isBar = (target) => target.matches && target.matches("rect[data-bar]");
  const focusAgain = () => {
    const shape = document.querySelector("rect.chosen");
    if (shape) shape.focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target === slider) return;
    if (event.target.closest && event.target.closest(".scroll") && !isBar(event.target)) return;
    const onBar = isBar(event.target);
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      move(event.key === "ArrowLeft" ? -1 : 1);
      if (onBar) focusAgain();
      event.preventDefault();
    }
    if ((event.key === "ArrowUp" || event.key === "ArrowDown") && onBar) {
      const all = [...document.querySelectorAll("rect[data-bar]")];
      const next = all[all.indexOf(event.target) + (event.key === "ArrowUp" ? -1 : 1)];
      if (next) next.focus();
      event.preventDefault();
    }
  });
  const tell = (event) => {
    if (isBar(event.target)) choose(event.target.dataset.node, Number(event.target.dataset.bar));
  };
  for (const kind of ["mouseover", "focusin", "click"]) document.addEventListener(kind, tell);
  document.querySelectorAll("tr[data-frame] button").forEach((button) =>
    button.addEventListener("click", () => show(Number(button.closest("tr").dataset.frame))));
  show(Number(slider.value));
})();
