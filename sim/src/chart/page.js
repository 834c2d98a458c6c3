"use strict";
const detail = document.getElementById("detail");
for (const section of document.querySelectorAll("section")) {
  const svg = section.querySelector("svg");
  let lit = [];
  const dark = () => {
    for (const part of lit) part.classList.remove("on");
    lit = [];
    svg.classList.remove("dim");
    detail.hidden = true;
  };
  svg.addEventListener("mouseover", (event) => {
    dark();
    const row = event.target.closest(".row");
    if (!row) return;
    detail.textContent = row.dataset.d;
    detail.hidden = false;
    if (row.dataset.r !== undefined) {
      lit = [...svg.querySelectorAll(`[data-r="${row.dataset.r}"]`)];
      for (const part of lit) part.classList.add("on");
      svg.classList.add("dim");
    }
  });
  svg.addEventListener("mousemove", (event) => {
    const left = Math.min(event.clientX + 16, innerWidth - detail.offsetWidth - 8);
    const below = event.clientY + 18;
    const fits = below + detail.offsetHeight < innerHeight;
    detail.style.left = Math.max(left, 8) + "px";
    detail.style.top = (fits ? below : event.clientY - detail.offsetHeight - 12) + "px";
  });
  svg.addEventListener("mouseleave", dark);
  // Who is in which lane, of what is on the screen.
  const head = section.querySelector(".head");
  const lives = JSON.parse(svg.dataset.lives);
  const name = () => {
    const top = head.getBoundingClientRect().bottom - svg.getBoundingClientRect().top;
    const there = new Map([[Number(svg.dataset.store), "store"]]);
    for (const [x, from, to, id] of lives) {
      if (from <= top + 24 && to >= top) there.set(x, id);
    }
    head.replaceChildren(...[...there].map(([x, id]) => {
      const span = document.createElement("span");
      span.textContent = id;
      span.style.left = x + "px";
      return span;
    }));
  };
  addEventListener("scroll", name, { passive: true });
  addEventListener("resize", name);
  name();
}
