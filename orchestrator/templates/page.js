"use strict";
/* What a reader can do on the page beyond reading it: sort and filter tables, filter claims by verdict, move figures.
   The page is whole without it. */

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function image(png) { return "data:image/png;base64," + png; }

function short(value) { return Number(value).toPrecision(4).replace(/\.?0+$/, ""); }

/* Tables: a click on a heading sorts by it, numbers as numbers; missing values come last. */

function key(cell) {
  const text = cell.textContent.trim(), value = Number(text.replace("\u2212", "-").replaceAll(",", ""));
  return text === "–" || text === "" ? null : Number.isNaN(value) ? text : value;
}

function compare(one, other) {
  if (one === null || other === null) return (one === null) - (other === null);
  return typeof one === typeof other && typeof one === "number" ? one - other : String(one).localeCompare(String(other));
}

function sortable(table) {
  table.querySelectorAll("thead th").forEach((heading, place) => {
    const button = element("button", { type: "button" }, heading.textContent);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending", body = table.tBodies[0];
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const missing = (row) => key(row.cells[place]) === null;
      const rows = [...body.rows].sort((a, b) => {
        const order = compare(key(a.cells[place]), key(b.cells[place]));
        return down && !missing(a) && !missing(b) ? -order : order;
      });
      body.append(...rows);
    });
    heading.replaceChildren(button);
  });
  if (table.tBodies[0].rows.length <= 10) return;
  const field = element("input", { type: "search" }), told = element("span", { role: "status" });
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    told.textContent = field.value ? ` ${shown} of ${table.tBodies[0].rows.length} rows` : "";
  });
  table.parentElement.before(element("p", { className: "small rows" }, element("label", {}, "Rows with ", field), told));
}

/* Claims: a part of the bar shows its verdict alone. */

function filterable(bar) {
  const line = document.querySelector(".filter"), links = bar.querySelectorAll("a");
  function show(verdict) {
    for (const table of document.querySelectorAll(".claims")) {
      table.hidden = verdict !== null && table.id !== "verdict-" + verdict;
    }
    links.forEach((link) => link.removeAttribute("aria-current"));
    line.hidden = verdict === null;
  }
  for (const link of links) {
    link.addEventListener("click", () => {
      show(link.dataset.verdict);
      link.setAttribute("aria-current", "true");
      line.querySelector("[role=status]").textContent = "shown: " + document.getElementById("verdict-" + link.dataset.verdict).caption.textContent;
    });
  }
  line.querySelector("[data-all]").addEventListener("click", () => show(null));
  addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.closest(".claims[hidden]")) { show(null); target.scrollIntoView(); }
  });
}

/* Contents: beside the page open, above it closed until they are wanted. */

function folded(contents) {
  const wide = matchMedia("(min-width: 64rem)"), fold = () => { contents.open = wide.matches; };
  wide.addEventListener("change", fold);
  contents.addEventListener("click", (event) => { if (event.target.closest("a")) fold(); });
  fold();
}

/* Drawn figures: a click shows one at its full size. */

function enlarged(picture) {
  const button = element("button", { type: "button", title: "full size" });
  picture.before(button);
  button.append(picture);
  button.addEventListener("click", () => {
    const name = picture.closest("figure").id + ".png", close = element("button", { type: "button" }, "close");
    const link = element("a", { href: picture.src, download: name }, name);
    const dialog = element("dialog", { ariaLabel: picture.alt }, element("p", {}, close, " ", link),
      element("img", { src: picture.src, alt: picture.alt }));
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  });
}

/* Frames: images that a slider goes through, and that play where that is asked for. */

function frames(figure, told) {
  const slider = element("input", { type: "range", min: 0, step: 1, ariaLabel: figure.lastChild.textContent });
  const picture = element("img", { className: "grid", alt: "" }), label = element("output"), below = element("p");
  const groups = element("select", { ariaLabel: "which" }, ...told.groups.map((it) => element("option", {}, it.name)));
  const play = element("button", { type: "button" }, "play");
  let timer = null;
  function show() {
    const group = told.groups[groups.selectedIndex].frames, frame = group[slider.value];
    picture.src = image(frame.png);
    picture.alt = `${groups.value}, ${frame.label}. ${frame.text}`;
    label.textContent = frame.label;
    slider.setAttribute("aria-valuetext", `${frame.label}. ${frame.text}`);
    below.textContent = frame.text;
  }
  function pause() { clearInterval(timer); timer = null; play.textContent = "play"; }
  function choose() {
    const last = told.groups[groups.selectedIndex].frames.length - 1;
    slider.max = last;
    slider.value = told.rows.length ? Math.ceil(last / 2) : last;
    show();
  }
  play.addEventListener("click", () => {
    if (timer !== null) { pause(); return; }
    play.textContent = "pause";
    timer = setInterval(() => { slider.value = (Number(slider.value) + 1) % (Number(slider.max) + 1); show(); }, 600);
  });
  slider.addEventListener("input", () => { pause(); show(); });
  groups.addEventListener("change", () => { pause(); choose(); });
  picture.width = told.shape[1] * 28 * (told.shape[1] > 12 ? 1.5 : 2.5);
  const rows = told.rows.length ? element("p", { className: "small" }, "Rows: " + told.rows.join(", ") + ".") : "";
  figure.prepend(element("div", { className: "row" }, groups, slider, label, play), picture, below, rows);
  choose();
}

/* Curves: lines whose values at an epoch are read off. */

const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];

function drawn(canvas, height, draw) {
  function redraw() {
    const width = canvas.clientWidth, ratio = devicePixelRatio || 1, pen = canvas.getContext("2d");
    if (!width) return;
    canvas.style.height = height(width) + "px";
    canvas.width = width * ratio;
    canvas.height = height(width) * ratio;
    pen.scale(ratio, ratio);
    draw(pen, width, height(width), "#1a1a1a");
  }
  new ResizeObserver(redraw).observe(canvas);
  return redraw;
}

function curves(figure, told) {
  if (!told.lines.length) throw new Error("no line");
  const first = Math.min(...told.lines.flatMap((line) => line.x)), last = Math.max(...told.lines.flatMap((line) => line.x));
  const values = told.lines.flatMap((line) => line.y), scale = told.logarithmic ? Math.log10 : (value) => value;
  const low = scale(Math.min(...values)), high = scale(Math.max(...values));
  const slider = element("input", { type: "range", min: first, max: last, step: 1, value: last, ariaLabel: "epoch" });
  const label = element("output"), list = element("ul", { className: "small" });
  const canvas = element("canvas", { role: "img", ariaLabel: `${told.label} by epoch; the values stand below` });
  const left = 52, bottom = 24;
  let x, y;
  const redraw = drawn(canvas, (width) => Math.min(360, width * 0.6), (pen, width, height, ink) => {
    x = (epoch) => left + (width - left - 8) * (last > first ? (epoch - first) / (last - first) : 0.5);
    y = (value) => 8 + (height - bottom - 8) * (high > low ? (high - scale(value)) / (high - low) : 0.5);
    pen.fillStyle = pen.strokeStyle = ink;
    pen.font = "12px system-ui";
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      const value = low + part * (high - low), real = told.logarithmic ? 10 ** value : value;
      pen.fillText(Number(real.toPrecision(3)), 0, y(real) + 4);
    }
    const ticks = Math.min(6, last - first);
    for (let tick = 0; tick <= ticks; tick++) {
      const epoch = ticks ? Math.round(first + tick * (last - first) / ticks) : first;
      pen.fillText(epoch, x(epoch) - 4, height - 6);
    }
    told.lines.forEach((line, number) => {
      pen.strokeStyle = pen.fillStyle = COLOURS[number % COLOURS.length];
      pen.setLineDash([[], [6, 3], [2, 2]][Math.floor(number / COLOURS.length) % 3]);
      pen.beginPath();
      line.x.forEach((epoch, place) => pen[place ? "lineTo" : "moveTo"](x(epoch), y(line.y[place])));
      pen.stroke();
      const place = line.x.indexOf(Number(slider.value));
      if (place >= 0) { pen.beginPath(); pen.arc(x(line.x[place]), y(line.y[place]), 3.5, 0, 7); pen.fill(); }
    });
    pen.setLineDash([]);
    pen.strokeStyle = ink;
    pen.globalAlpha = 0.5;
    pen.beginPath();
    pen.moveTo(x(slider.value), 8);
    pen.lineTo(x(slider.value), height - bottom);
    pen.stroke();
  });
  function show() {
    label.textContent = "epoch " + slider.value;
    const found = told.lines.map((line, number) => [line.y[line.x.indexOf(Number(slider.value))], line.name, number]);
    const known = found.filter(([value]) => value !== undefined).sort((a, b) => a[0] - b[0]);
    list.replaceChildren(...known.map(([value, name, number]) => {
      const swatch = element("span", { className: "swatch" });
      swatch.style.background = COLOURS[number % COLOURS.length];
      return element("li", {}, swatch, `${name}: ${short(value)}`);
    }));
    slider.setAttribute("aria-valuetext", label.textContent);
    redraw();
  }
  canvas.addEventListener("pointermove", (event) => {
    const part = (event.offsetX - left) / (canvas.clientWidth - left - 8);
    slider.value = Math.round(first + part * (last - first));
    show();
  });
  slider.addEventListener("input", show);
  figure.prepend(canvas, element("div", { className: "row" }, slider, label), list);
  show();
}

/* The plane: points with the image under the pointer, and what the decoder makes of the plane. */

function plane(figure, told) {
  const { names, colours } = told, count = told.labels.length;
  const method = element("select", { ariaLabel: "method" }, ...Object.keys(told.planes).map((it) => element("option", {}, it)));
  const number = element("input", { type: "number", min: 0, max: count - 1, value: 0 });
  const tile = element("div", { className: "tile", role: "img" }), said = element("output");
  const canvas = element("canvas", { role: "img", ariaLabel: "points of the plane; the test image's number chooses one" });
  const sheet = `url(${image(told.png)})`, decoded = told.decoded && element("img", { src: image(told.decoded.png) });
  const behind = element("input", { type: "checkbox" });
  let x, y, edges;
  const redraw = drawn(canvas, (width) => Math.min(560, width), (pen, width, height, ink) => {
    const points = told.planes[method.value];
    const sorted = [points.x, points.y].map((values) => [...values].sort((a, b) => a - b));
    edges = sorted.flatMap((values) => {
      const [low, high] = [values[Math.floor(count * 0.002)], values[Math.ceil(count * 0.998) - 1]], more = (high - low) * 0.04;
      return [low - more, high + more];
    });
    const scale = Math.min(width / (edges[1] - edges[0]), height / (edges[3] - edges[2]));
    x = (value) => width / 2 + (value - (edges[0] + edges[1]) / 2) * scale;
    y = (value) => height / 2 - (value - (edges[2] + edges[3]) / 2) * scale;
    if (decoded && behind.checked && told.decoded.of === method.value) {
      const [left, right, lower, upper] = told.decoded.edges;
      const [rows, columns] = told.decoded.shape, half = [(right - left) / (columns - 1) / 2, (upper - lower) / (rows - 1) / 2];
      const corner = [x(left - half[0]), y(upper + half[1])];
      pen.drawImage(decoded, ...corner, x(right + half[0]) - corner[0], y(lower - half[1]) - corner[1]);
    }
    const hides = behind.checked && told.decoded && told.decoded.of === method.value;
    for (let place = 0; place < count; place++) {
      pen.fillStyle = colours[told.labels[place]];
      pen.globalAlpha = hides ? 0.35 : 0.75;
      pen.beginPath();
      pen.arc(x(points.x[place]), y(points.y[place]), 2.2, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = hides ? "#fff" : ink;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x(points.x[number.value]), y(points.y[number.value]), 6, 0, 7);
    pen.stroke();
  });
  function show() {
    const place = Math.max(0, Math.min(count - 1, Math.round(Number(number.value)) || 0));
    const column = place % told.columns, row = Math.floor(place / told.columns);
    tile.style.background = `${sheet} ${-112 * column}px ${-112 * told.height * row}px / ${112 * told.columns}px auto`;
    tile.style.height = `${112 * told.height}px`;
    said.textContent = `test image ${place}: ${names[told.labels[place]]}`;
    tile.setAttribute("aria-label", said.textContent);
    redraw();
  }
  canvas.addEventListener("pointermove", (event) => {
    const points = told.planes[method.value];
    let best = 0, least = Infinity;
    for (let place = 0; place < count; place++) {
      const away = (x(points.x[place]) - event.offsetX) ** 2 + (y(points.y[place]) - event.offsetY) ** 2;
      if (away < least) { least = away; best = place; }
    }
    if (Number(number.value) !== best) { number.value = best; show(); }
  });
  number.addEventListener("input", show);
  method.addEventListener("change", show);
  behind.addEventListener("change", show);
  if (decoded) decoded.addEventListener("load", redraw);
  const legend = element("p", { className: "small" }, ...names.map((name, label) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = colours[label];
    return element("span", {}, swatch, name + "  ");
  }));
  const grid = decoded ? element("label", {}, behind, ` what the decoder makes of it (${told.decoded.of})`) : "";
  figure.prepend(
    element("div", { className: "row" }, method, element("label", {}, "test image ", number), grid),
    element("div", { className: "row" }, tile, said), canvas, legend,
  );
  show();
}

document.querySelectorAll(".sortable").forEach(sortable);
document.querySelectorAll("ul.bar").forEach(filterable);
document.querySelectorAll("nav details").forEach(folded);
document.querySelectorAll("figure > img").forEach(enlarged);
const kinds = { frames, curves, plane };
for (const figure of document.querySelectorAll(".moved")) {
  const data = figure.querySelector("script");
  data.remove();
  try {
    const told = JSON.parse(data.textContent);
    kinds[told.kind](figure, told);
    figure.hidden = false;
  } catch { /* it is of another version, or damaged: the figures beside it are not */ }
}
