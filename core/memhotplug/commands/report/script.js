"use strict";
(() => {
  const store = document.getElementById("film");
  if (!store) return;
  const film = JSON.parse(store.textContent);
  const slider = document.getElementById("step");
  const words = document.getElementById("now-is");
  const reason = document.getElementById("reason");
  const detail = document.getElementById("detail");
  const NS = "http://www.w3.org/2000/svg";
  const hint = detail.textContent;

  const rect = (attributes) => {
    const shape = document.createElementNS(NS, "rect");
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    return shape;
  };

  const draw = (svg, bars) => {
    const shapes = [];
    bars.forEach((number, index) => {
      const [kind, x, width, share, text] = film.drawn[number];
      shapes.push(rect({ class: film.kinds[kind], x, y: 0, width, height: 40, role: "img",
        tabindex: index ? -1 : 0, "aria-label": text }));
      if (share) {
        shapes.push(rect({ class: "memmap", x, y: 43, width, height: Math.max(share * 16, 2), "aria-hidden": "true" }));
      }
    });
    svg.replaceChildren(...shapes);
  };

  const show = (index) => {
    const frame = film.frames[index];
    slider.value = index;
    slider.setAttribute("aria-valuetext", frame.title);
    words.textContent = frame.title;
    reason.textContent = frame.refused ? "The kernel refused: " + frame.refused : "";
    detail.textContent = hint;
    document.querySelectorAll("[data-node] svg").forEach((svg) =>
      draw(svg, frame.bars[svg.parentNode.dataset.node] || []));
    const x = film.frames.length > 1 ? 1000 * index / (film.frames.length - 1) : 0;
    document.querySelectorAll(".now").forEach((line) => { line.setAttribute("x1", x); line.setAttribute("x2", x); });
    document.querySelectorAll("tr[data-frame]").forEach((row) =>
      row.classList.toggle("chosen", Number(row.dataset.frame) === index));
  };

  const move = (by) => {
    const next = Math.min(Math.max(Number(slider.value) + by, 0), film.frames.length - 1);
    if (next !== Number(slider.value)) show(next);
  };

  slider.addEventListener("input", () => show(Number(slider.value)));
  document.getElementById("back").addEventListener("click", () => move(-1));
  document.getElementById("forth").addEventListener("click", () => move(1));
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target === slider) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const inside = event.target.closest && event.target.closest("[data-node]");
      if (inside && event.shiftKey) return;
      move(event.key === "ArrowLeft" ? -1 : 1);
      event.preventDefault();
    }
    if ((event.key === "ArrowUp" || event.key === "ArrowDown") && event.target.matches("rect[tabindex]")) {
      const all = [...document.querySelectorAll("rect[tabindex]")];
      const next = all[all.indexOf(event.target) + (event.key === "ArrowUp" ? -1 : 1)];
      if (next) next.focus();
      event.preventDefault();
    }
  });
  const tell = (event) => {
    if (event.target.matches && event.target.matches("rect[tabindex]")) {
      detail.textContent = event.target.getAttribute("aria-label");
    }
  };
  for (const kind of ["mouseover", "focusin", "click"]) document.addEventListener(kind, tell);
  document.querySelectorAll("tr[data-frame] button").forEach((button) =>
    button.addEventListener("click", () => show(Number(button.closest("tr").dataset.frame))));
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
  show(Number(slider.value));
})();
