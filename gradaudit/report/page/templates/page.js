"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("with-script");
  const form = document.querySelector(".filters");

  // A gradient in full, or a line of a table: what a filter hides or shows.
  const entries = [...document.querySelectorAll(".gradient, .op tbody tr")].map((element) => ({
    element,
    verdict: element.dataset.verdict,
    module: element.closest("[data-module]").dataset.module,
    codes: (element.dataset.codes || "").split(" "),
    counts: element.tagName === "TR",
    text: null,
  }));
  const groups = [...document.querySelectorAll(".op")].map((element) => ({
    element,
    rows: [...element.querySelectorAll("tbody tr")],
  }));

  const textOf = (entry) => {
    if (entry.text === null) {
      const group = entry.element.closest(".op");
      entry.text = `${entry.element.textContent} ${group ? group.querySelector("summary").textContent : ""}`.toLowerCase();
    }
    return entry.text;
  };

  const filter = () => {
    const verdicts = new Set([...form.querySelectorAll("[name=verdict]:checked")].map((box) => box.value));
    const module = form.elements.module.value;
    const code = form.elements.code.value;
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const asked = form.querySelector("[name=verdict]:not(:checked)") || module || code || words.length;
    let shown = 0;
    let all = 0;
    for (const entry of entries) {
      const fits =
        verdicts.has(entry.verdict) &&
        (!module || entry.module === module) &&
        (!code || entry.codes.includes(code)) &&
        words.every((word) => textOf(entry).includes(word));
      entry.element.hidden = !fits;
      if (entry.counts) {
        all += 1;
        shown += fits;
      }
    }
    for (const group of groups) group.element.hidden = group.rows.every((row) => row.hidden);
    form.elements.shown.textContent = asked ? `${shown} of ${all} gradients` : "";
  };

  const reveal = () => {
    let id;
    try {
      id = decodeURIComponent(location.hash.slice(1));
    } catch {
      return;
    }
    const target = id && document.getElementById(id);
    if (!target) return;
    for (let at = target; at; at = at.parentElement) {
      at.hidden = false;
      if (at.tagName === "DETAILS") at.open = true;
    }
    target.scrollIntoView();
  };

  const step = (by) => {
    const seen = [...document.querySelectorAll(".gradient:not([hidden]) > summary")];
    if (!seen.length) return;
    const here = seen.indexOf(document.activeElement);
    const next = seen[here < 0 ? (by > 0 ? 0 : seen.length - 1) : (here + by + seen.length) % seen.length];
    next.focus();
    next.scrollIntoView({ block: "center" });
  };

  if (form) {
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    document.addEventListener("keydown", (event) => {
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (event.key === "Escape" && form.contains(event.target)) {
        form.reset();
        filter();
        event.target.blur();
      } else if (typing || event.ctrlKey || event.metaKey || event.altKey) {
        return;
      } else if (event.key === "/") {
        event.preventDefault();
        form.elements.text.focus();
      } else if (event.key === "j" || event.key === "k") {
        step(event.key === "j" ? 1 : -1);
      }
    });
    filter(); // a browser may have kept what was typed before the page was loaded anew
  }

  document.addEventListener("pointerover", (event) => {
    const title = event.target.matches(".cell") && event.target.querySelector("title");
    if (title) event.target.closest("figure").querySelector(".readout").textContent = title.textContent;
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest('a[href^="#"]')) setTimeout(reveal); // also where the address stays what it is
  });
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll(".gradient")) each.open = true;
  });
  reveal();
})();
