"use strict";
// Sliders choose one picture of a film; films of one group move together, each to its nearest picture.
function show(film, number) {
  const frames = film.querySelectorAll(":scope > .frame");
  frames.forEach((frame, index) => frame.classList.toggle("shown", index === number));
  film.querySelector("input").value = number;
  film.querySelector("output").textContent = frames[number].dataset.label;
}
function stepOf(frame) {
  const found = /\d+/.exec(frame.dataset.label);
  return found ? Number(found[0]) : 0;
}
function nearest(film, step) {
  const distances = [...film.querySelectorAll(":scope > .frame")].map((frame) => Math.abs(stepOf(frame) - step));
  return distances.indexOf(Math.min(...distances));
}
for (const film of document.querySelectorAll(".film")) {
  const slider = film.querySelector("input");
  if (!slider) continue;
  slider.addEventListener("input", () => {
    show(film, Number(slider.value));
    const step = stepOf(film.querySelectorAll(":scope > .frame")[slider.value]);
    for (const other of document.querySelectorAll(".film[data-group]")) {
      if (other !== film && other.dataset.group === film.dataset.group && other.querySelector("input")) {
        show(other, nearest(other, step));
      }
    }
  });
}
// Values under the pointer.
const tip = document.getElementById("tip");
function number(value) {
  return Math.abs(value) >= 1e5 ? String(Math.round(value)) : String(Number(value.toPrecision(5)));
}
for (const chart of document.querySelectorAll(".chart")) {
  const svg = chart.querySelector("svg"), line = svg.querySelector(".pointer");
  const data = JSON.parse(chart.querySelector("script").textContent);
  const [left, , right] = data.box, [low, high] = data.x;
  const hide = () => { tip.hidden = true; line.setAttribute("visibility", "hidden"); };
  const move = (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const wanted = low + ((Math.min(right, Math.max(left, x)) - left) / (right - left)) * (high - low);
    let at = null;
    const found = data.curves.map((curve) => {
      let best = 0;
      curve.x.forEach((value, index) => { if (Math.abs(value - wanted) < Math.abs(curve.x[best] - wanted)) best = index; });
      if (at === null || Math.abs(curve.x[best] - wanted) < Math.abs(at - wanted)) at = curve.x[best];
      return [curve, best];
    });
    const near = found.filter(([curve, best]) => Math.abs(curve.x[best] - at) <= 0.03 * (high - low));
    tip.textContent = [`${data.name} ${number(at)}`, ...near.map(([curve, best]) => `${curve.label}: ${number(curve.y[best])}`)].join("\n");
    tip.hidden = false;
    tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 4)}px`;
    tip.style.top = `${Math.max(4, event.clientY - tip.offsetHeight - 10)}px`;
    const place = left + ((at - low) / (high - low)) * (right - left);
    for (const end of ["x1", "x2"]) line.setAttribute(end, place);
    line.setAttribute("visibility", "visible");
  };
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("pointerleave", hide);
}
// On paper everything is unfolded.
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((part) => { part.open = true; });
});
window.addEventListener("afterprint", () => folded.forEach((part) => { part.open = false; }));
