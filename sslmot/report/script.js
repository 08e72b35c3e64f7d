"use strict";
// Highlight one identity in all charts of a clip; walk over bars with the arrow keys. Without this
// script all is drawn and readable too.
for (const clip of document.querySelectorAll(".clip")) {
  const select = clip.querySelector(".highlight");
  const status = clip.querySelector(".status");
  if (!select) continue;
  clip.querySelector(".controls").hidden = false;

  const highlight = (id) => {
    select.value = id;
    for (const part of clip.querySelectorAll("[data-id]")) {
      part.classList.toggle("dim", id !== "" && part.dataset.id !== id);
    }
    status.textContent = id === "" ? "" : "Escape shows all.";
  };
  select.addEventListener("change", () => highlight(select.value));
  clip.addEventListener("keydown", (event) => {
    if (event.key === "Escape") highlight("");
  });
  for (const part of clip.querySelectorAll(".bar, .path")) {
    part.addEventListener("click", () => {
      highlight(select.value === part.dataset.id ? "" : part.dataset.id);
    });
  }

  for (const chart of clip.querySelectorAll("svg.bars")) {
    const rows = [...chart.querySelectorAll(".row")]
      .map((row) => [...row.querySelectorAll(".bar")])
      .filter((row) => row.length);
    if (!rows.length) continue;
    // One bar is in the tab order; the arrow keys choose which.
    const focus = (bar) => {
      chart.querySelector('.bar[tabindex="0"]')?.setAttribute("tabindex", "-1");
      bar.setAttribute("tabindex", "0");
      bar.focus({ preventScroll: true });
      bar.scrollIntoView({ block: "nearest", inline: "nearest" });
    };
    rows[0][0].setAttribute("tabindex", "0");
    const middle = (bar) => {
      const box = bar.querySelector("rect").getBoundingClientRect();
      return box.left + box.width / 2;
    };
    const nearest = (row, bar) =>
      row.reduce((a, b) => (Math.abs(middle(b) - middle(bar)) < Math.abs(middle(a) - middle(bar)) ? b : a));
    chart.addEventListener("focusin", (event) => {
      const bar = event.target.closest(".bar");
      if (bar) status.textContent = bar.getAttribute("aria-label");
    });
    chart.addEventListener("keydown", (event) => {
      const bar = event.target.closest(".bar");
      const y = rows.findIndex((row) => row.includes(bar));
      if (y < 0) return;
      const x = rows[y].indexOf(bar);
      const next = {
        ArrowLeft: () => rows[y][x - 1],
        ArrowRight: () => rows[y][x + 1],
        ArrowUp: () => rows[y - 1] && nearest(rows[y - 1], bar),
        ArrowDown: () => rows[y + 1] && nearest(rows[y + 1], bar),
        Home: () => rows[y][0],
        End: () => rows[y][rows[y].length - 1],
      }[event.key];
      if (next) {
        event.preventDefault();
        const found = next();
        if (found) focus(found);
      } else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        bar.dispatchEvent(new MouseEvent("click"));
        status.textContent = `${bar.getAttribute("aria-label")}. Escape shows all.`;
      }
    });
  }
}
