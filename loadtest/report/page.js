"use strict";
// The page is whole without this script: it adds what the pointer shows, the
// switch between charts of one section, and the choice of light or dark.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  dark.addEventListener("change", name);
  name();

  const tip = document.getElementById("tip");
  document.addEventListener("pointermove", (e) => {
    const on = e.target instanceof Element ? e.target.closest("[data-tip]") : null;
    tip.hidden = !on;
    if (!on) return;
    tip.textContent = on.dataset.tip;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(e.clientX + 14, innerWidth - box.width - 4)) + "px";
    tip.style.top = (e.clientY + box.height + 24 > innerHeight ? e.clientY - box.height - 10 : e.clientY + 16) + "px";
  });
  document.addEventListener("pointerleave", () => { tip.hidden = true; });

  for (const charts of document.querySelectorAll(".charts")) {
    const tabbed = [...charts.querySelectorAll("figure[data-tab]")];
    if (tabbed.length < 2) continue;
    const bar = document.createElement("div");
    bar.className = "tabs";
    const buttons = tabbed.map((figure) => {
      const b = document.createElement("button");
      b.type = "button";
      b.textContent = figure.querySelector("figcaption").textContent;
      b.addEventListener("click", () => show(figure));
      bar.append(b);
      return b;
    });
    const show = (figure) => tabbed.forEach((f, i) => {
      f.hidden = f !== figure;
      buttons[i].setAttribute("aria-pressed", String(f === figure));
    });
    charts.before(bar);
    show(tabbed[0]);
  }
  root.dataset.ready = "true";
})();
