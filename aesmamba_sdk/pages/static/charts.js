// Histogram, scatter and attribute bars; drawn anew from the photos that the filters let through.
const BINS = 24;

function shape(tag, properties) {
  return element(`svg:${tag}`, properties);
}

/** Bars of one field; dragging over them chooses a range. */
function drawHistogram(root, { low, high, values, label }, photos, range, choose) {
  const width = high - low || 1;
  const bin = (value) => Math.min(BINS - 1, Math.floor(((value - low) / width) * BINS));
  const counts = new Array(BINS).fill(0);
  for (const i of photos) if (values[i] !== null) counts[bin(values[i])]++;
  const most = Math.max(1, ...counts);
  const svg = shape("svg", { viewBox: `0 0 ${BINS} 100`, preserveAspectRatio: "none", role: "img" });
  const median = photos.length ? photos.map((i) => values[i]).sort((a, b) => a - b)[photos.length >> 1] : null;
  const told = median === null ? "no photos" : `${counted(photos.length, "photo")} from ${number(low)} to ${number(high)}, median ${number(median)}`;
  svg.setAttribute("aria-label", `${label}: ${told}`);
  counts.forEach((count, i) => {
    const middle = low + ((i + 0.5) / BINS) * width;
    const tall = count ? Math.max(2, (98 * count) / most) : 0;
    const inside = middle >= range[0] - width / BINS / 2 && middle <= range[1] + width / BINS / 2;
    svg.append(shape("rect", { x: i + 0.06, y: 100 - tall, width: 0.88, height: tall, class: inside ? "bar" : "bar out" }));
  });
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.min(BINS - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * BINS)));
  };
  let start = null;
  svg.addEventListener("pointerdown", (event) => {
    start = at(event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const [first, last] = [start, at(event)].sort((a, b) => a - b);
    start = null;
    choose(low + (first / BINS) * width, low + ((last + 1) / BINS) * width);
  });
  root.replaceChildren(svg);
}

/** Everyone's score across, the person's upwards: one dot a photo, the nearest one named. */
function startScatter(root, reading, open) {
  const [low, high] = DATA.scale;
  const SIDE = 1000, PAD = 40;
  const across = (value) => PAD + ((value - low) / (high - low)) * (SIDE - 2 * PAD);
  const up = (value) => SIDE - across(value);
  const points = DATA.values.map((value, i) => [across(DATA.generic[i]), up(value)]);
  const dots = (photos) => photos.map((i) => `M${points[i][0].toFixed(1)} ${points[i][1].toFixed(1)}h0`).join("");
  const svg = shape("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img" });
  for (let value = Math.ceil(low); value <= high; value++) {
    svg.append(shape("path", { class: "grid", d: `M${across(value)} ${PAD}V${SIDE - PAD}M${PAD} ${up(value)}H${SIDE - PAD}` }));
    svg.append(element("svg:text", { class: "tick", x: across(value), y: SIDE - 4, "text-anchor": "middle", text: value }));
    svg.append(element("svg:text", { class: "tick", x: 4, y: up(value) + 10, text: value }));
  }
  svg.append(shape("path", { class: "same", d: `M${across(low)} ${up(low)}L${across(high)} ${up(high)}` }));
  const away = shape("path", { class: "dots out" }), here = shape("path", { class: "dots" });
  const mark = shape("circle", { class: "mark", r: 18, visibility: "hidden" });
  svg.append(away, here, mark);
  let shown = [], near = null;

  const rest = () => {
    near = null;
    mark.setAttribute("visibility", "hidden");
    reading.textContent = "Above the line: liked more than everyone does. Choose a dot to see its photo.";
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * SIDE, y = ((event.clientY - box.top) / box.height) * SIDE;
    let best = 60 ** 2;
    near = null;
    for (const i of shown) {
      const far = (points[i][0] - x) ** 2 + (points[i][1] - y) ** 2;
      if (far < best) [best, near] = [far, i];
    }
    if (near === null) return rest();
    mark.setAttribute("visibility", "visible");
    mark.setAttribute("cx", points[near][0]);
    mark.setAttribute("cy", points[near][1]);
    reading.textContent = `${DATA.names[near]}: everyone ${DATA.generic[near].toFixed(2)}, ${DATA.user} ${DATA.values[near].toFixed(2)}`;
  });
  svg.addEventListener("pointerleave", rest);
  svg.addEventListener("click", () => near !== null && open(near, shown));
  rest();
  root.replaceChildren(svg);
  return (photos) => {
    const kept = new Set(photos);
    shown = photos;
    here.setAttribute("d", dots(photos));
    away.setAttribute("d", dots(NAME_ORDER.filter((i) => !kept.has(i))));
    const more = photos.filter((i) => DATA.values[i] > DATA.generic[i]).length;
    svg.setAttribute(
      "aria-label",
      `Everyone’s score across, ${WHOSE} upwards: of ${counted(photos.length, "photo")} ${DATA.user} likes ${more} more than everyone does`,
    );
  };
}

/** A row of a bar chart: from `start` to `end` (0-1), and a mark at `at`. */
function bar(start, end, at, kind = "") {
  const fill = element("span", { class: `fill ${kind}` }), tick = element("span", { class: "at" });
  const [from, to] = [Math.min(start, end), Math.max(start, end)].map((share) => Math.min(1, Math.max(0, share)));
  fill.style.left = percentWide(from);
  fill.style.width = percentWide(to - from);
  tick.style.left = percentWide(at ?? 0);
  return element("span", { class: "track", "aria-hidden": "true" }, fill, at === null ? null : tick);
}

const percentWide = (share) => `${(100 * Math.min(1, Math.max(0, share))).toFixed(2)}%`;

function drawAttributes(root, photos, choose) {
  const [low, high] = DATA.scale;
  const share = (value) => (value - low) / (high - low);
  const rows = DATA.attributes.map((name, column) => {
    const values = photos.map((i) => DATA.attributeScores[i][column]).sort((a, b) => a - b);
    const key = column === 0 ? (DATA.generic === null ? "value" : "generic") : `attribute:${name}`;
    const mean = values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
    const [p10, p90] = [0.1, 0.9].map((part) => values[Math.round(part * (values.length - 1))] ?? low);
    return element(
      "li",
      {},
      element(
        "button",
        { type: "button", "data-key": key, "aria-pressed": String(state.sort === key), onclick: () => choose(key) },
        element("span", { text: words(name) }),
        bar(share(p10), share(p90), values.length ? share(mean) : null),
        element("span", { class: "number", text: values.length ? mean.toFixed(2) : "–" }),
      ),
    );
  });
  root.replaceChildren(...rows);
}

/** Attributes that taste goes along with: from the middle to the right, or to the left. */
function drawLikes(root) {
  const widest = Math.max(0.01, ...DATA.likes.map(([, r]) => Math.abs(r)));
  root.replaceChildren(
    ...DATA.likes.map(([name, r]) =>
      element(
        "li",
        {},
        element("span", { text: words(name) }),
        bar(0.5, 0.5 + (0.5 * r) / widest, 0.5, r < 0 ? "less" : "more"),
        element("span", { class: "number", text: signed(r) }),
      ),
    ),
  );
}
