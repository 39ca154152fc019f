"use strict";
// Values of a chart on hover and on keyboard focus, tables as CSV, folded parts on paper. Without this script the page
// loses only these: marks keep their titles, tables can be selected.
(() => {
  const NEAR_PX = 26;
  const FORMULA = /^'*[=+\-@\t\r＝＋－＠]/;
  const NUMBER = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i;
  document.documentElement.classList.add("scripting");

  // --- charts ---
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  let lit = null, follow = null; // follow: puts the words beside a mark that was reached by keyboard, after a scroll

  // Say what a mark holds, beside a place of the window.
  function show(mark, x, y) {
    if (lit !== mark) lit?.classList.remove("lit");
    lit = mark;
    mark.classList.add("lit");
    if (tip.textContent !== mark.dataset.note) tip.textContent = mark.dataset.note;
    tip.hidden = false;
    const box = tip.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    tip.style.left = `${Math.max(4, Math.min(x + 12, wide - box.width - 4))}px`;
    tip.style.top = `${y - box.height - 10 < 4 ? y + 16 : y - box.height - 10}px`;
  }

  function hide() {
    follow = null;
    lit?.classList.remove("lit");
    lit = null;
    tip.hidden = true;
  }

  // The mark under the pointer, or the nearest point.
  function markAt(event, svg, points) {
    const hit = event.target.closest?.(".mark");
    if (hit) return hit;
    const toScreen = svg.getScreenCTM();
    if (!toScreen || !points.length) return null;
    const here = new DOMPoint(event.clientX, event.clientY).matrixTransform(toScreen.inverse());
    const far = (point) => Math.hypot(point.x - here.x, point.y - here.y);
    const nearest = points.reduce((best, point) => (far(point) < far(best) ? point : best));
    return far(nearest) * toScreen.a <= NEAR_PX ? nearest.mark : null;
  }

  function liven(svg) {
    const marks = [...svg.querySelectorAll(".mark")];
    if (!marks.length) return;
    for (const mark of marks) {
      const title = mark.querySelector("title");
      mark.dataset.note = title.textContent; // the browser's own slow tooltip would stand beside ours
      title.remove();
    }
    const title = svg.querySelector("title");
    svg.setAttribute("aria-label", `${title.textContent}. Arrow keys tell its values.`);
    title.remove();
    svg.tabIndex = 0;
    const points = marks.filter((mark) => mark.hasAttribute("cx"))
      .map((mark) => ({ mark, x: +mark.getAttribute("cx"), y: +mark.getAttribute("cy") }));
    let at = 0;
    const tell = () => {
      follow = tell;
      const box = marks[at].getBoundingClientRect();
      show(marks[at], box.x + box.width / 2, box.y + (box.height > 60 ? 20 : 0));
    };
    svg.addEventListener("pointermove", (event) => {
      follow = null;
      const mark = markAt(event, svg, points);
      if (mark) show(mark, event.clientX, event.clientY); else hide();
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("focus", () => svg.matches(":focus-visible") && tell());
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: marks.length - 1 };
      if (event.key === "Escape") return hide();
      if (!(event.key in steps)) return;
      event.preventDefault();
      at = (steps[event.key] + marks.length) % marks.length;
      tell();
    });
  }
  document.querySelectorAll("svg").forEach(liven);
  addEventListener("scroll", () => (follow ? follow() : hide()), { passive: true });

  // --- tables ---
  // A cell as it is copied: numbers in full, no formula, quoted where it must be. Counts what it guards.
  function csvCell(cell, guarded) {
    let text = (cell.dataset.v ?? cell.textContent).replace(/\s+/g, " ").trim();
    if (!NUMBER.test(text) && FORMULA.test(text)) {
      text = "'" + text;
      guarded.count += 1;
    }
    return /[",;\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = document.createElement("textarea"); // where the browser gives files no clipboard
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  }

  for (const table of document.querySelectorAll("table")) {
    const button = document.createElement("button"), said = document.createElement("span");
    button.type = "button";
    button.textContent = "Copy as CSV";
    said.setAttribute("role", "status");
    button.addEventListener("click", async () => {
      const guarded = { count: 0 };
      const lines = [...table.rows].map((row) => [...row.cells].map((cell) => csvCell(cell, guarded)).join(","));
      const done = await copy(lines.join("\r\n") + "\r\n");
      const note = guarded.count ? `; an apostrophe stands before ${guarded.count} of the cells, which a spreadsheet would run` : "";
      said.textContent = done ? `${lines.length} lines copied${note}` : "the browser does not allow it: select the table";
    });
    const bar = document.createElement("p");
    bar.className = "copy";
    bar.append(button, " ", said);
    (table.closest(".scroll") ?? table).after(bar);
  }

  // --- paper ---
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open])")) {
      part.open = true;
      part.dataset.opened = "";
    }
  });
  addEventListener("afterprint", () => {
    for (const part of document.querySelectorAll("details[data-opened]")) {
      part.open = false;
      delete part.dataset.opened;
    }
  });
})();
