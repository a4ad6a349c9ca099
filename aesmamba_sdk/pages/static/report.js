// The report: controls, and what follows from them.
const STRIP = 5;

startTheme(byId("theme"));
const openDetail = startDetail(byId("detail"), (photo) => sheet.focusPhoto(photo));
const sheet = startSheet(byId("sheet"), drawTile);
const drawScatter = DATA.generic === null || COUNT === 0 ? null : startScatter(byId("scatter"), byId("scatter-text"), openDetail);

function drawTile(photo, photos) {
  const [score, extra, direction] = caption(photo);
  return element(
    "button",
    { type: "button", class: "tile", "aria-label": describe(photo), onclick: () => openDetail(photo, photos) },
    element("span", { class: "mat" }, picture(photo, "")),
    element("span", { class: "score" }, element("b", { text: score }), element("span", { class: direction || "quiet", text: extra })),
    element("span", { class: "name quiet", text: fileOf(DATA.names[photo]), title: DATA.names[photo] }),
  );
}

function tell() {
  byId("title").textContent = DATA.title;
  const learned = DATA.shots === null ? "" : `, ${counted(DATA.shots, "rating")}`;
  const whose = DATA.user === null ? "for everyone" : `for ${DATA.user} (${DATA.method ?? "generic"}${learned})`;
  const made = new Date(DATA.made).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  const failed = DATA.failed.length ? [`${DATA.failed.length.toLocaleString("en")} could not be scored`] : [];
  byId("summary").textContent = [counted(COUNT, "photo"), ...failed, whose].join(" · ");
  const notes = [...DATA.notes, `Model ${DATA.model}, ${made}`];
  byId("notes").replaceChildren(...notes.map((note) => element("li", { text: note })));
  byId("failed").hidden = DATA.failed.length === 0;
  byId("failed-title").textContent = `${counted(DATA.failed.length, "photo")} could not be scored`;
  byId("failures").replaceChildren(
    ...DATA.failed.map(({ name, message }) => element("li", {}, element("b", { class: "name", text: name }), element("span", { class: "quiet name", text: message }))),
  );
  if (DATA.likes !== null) {
    byId("likes-section").hidden = false;
    byId("likes-title").textContent = `What ${DATA.user}’s taste goes along with`;
    drawLikes(byId("likes"));
  }
  if (drawScatter !== null) {
    byId("scatter-section").hidden = false;
    byId("scatter-title").textContent = `Everyone’s score across, ${WHOSE} upwards`;
  }
}

function update() {
  const shown = passing();
  const ordered = sorted([...shown]);
  sheet.show(ordered);
  byId("count").textContent = shown.length === COUNT ? counted(COUNT, "photo") : `${shown.length.toLocaleString("en")} of ${counted(COUNT, "photo")}`;
  byId("nothing").hidden = shown.length > 0;
  byId("direction").textContent = state.sort === NAME ? (state.descending ? "Z to A" : "A to Z") : state.descending ? "High first" : "Low first";
  byId("sort").value = state.sort;
  drawRange();
  drawChips();
  drawHighlights(shown);
  drawAttributes(byId("attributes"), shown, sortBy);
  drawScatter?.(ordered);
}

/** The field whose range the histogram shows: what is sorted by, or the score. */
const ranged = () => FIELDS.get(state.sort) ?? FIELDS.get("value");

function drawRange() {
  const chosen = ranged();
  const [low, high] = state.ranges.get(chosen.key) ?? [chosen.low, chosen.high];
  byId("histogram-title").textContent = chosen.label;
  drawHistogram(byId("histogram"), chosen, passing(chosen.key), [low, high], (from, to) => limit(chosen, from, to));
  for (const [id, value] of [["low", low], ["high", high]]) {
    const slider = byId(id);
    slider.min = chosen.low;
    slider.max = chosen.high;
    slider.step = "any";
    slider.value = value;
    slider.setAttribute("aria-valuetext", number(value));
    byId(`${id}-text`).textContent = number(value);
  }
}

function limit(chosen, low, high) {
  const range = [Math.max(chosen.low, Math.min(low, high)), Math.min(chosen.high, Math.max(low, high))];
  if (range[0] <= chosen.low && range[1] >= chosen.high) state.ranges.delete(chosen.key);
  else state.ranges.set(chosen.key, range);
  update();
}

function drawChips() {
  const chips = [...state.ranges].map(([key, [low, high]]) => {
    const { label } = FIELDS.get(key);
    const remove = () => {
      state.ranges.delete(key);
      update();
    };
    return element("li", {}, element("button", { type: "button", "aria-label": `Remove the filter on ${label}`, onclick: remove, text: `${label} ${number(low)} to ${number(high)} ×` }));
  });
  byId("chips").replaceChildren(...chips);
}

function drawHighlights(shown) {
  const order = [...shown].sort((a, b) => DATA.values[b] - DATA.values[a] || NAME_RANK[a] - NAME_RANK[b]);
  const each = Math.min(STRIP, order.length >> 1);
  const strip = (title, photos) =>
    element(
      "div",
      { class: "strip" },
      element("h2", { text: title }),
      element("ul", {}, ...photos.map((i) => element("li", {}, element("button", { type: "button", class: "tile", "aria-label": describe(i), onclick: () => openDetail(i, order) }, element("span", { class: "mat" }, picture(i, "")), element("b", { text: DATA.values[i].toFixed(2) }))))),
    );
  byId("highlights").hidden = each === 0;
  byId("highlights").replaceChildren(strip("Best", order.slice(0, each)), strip("Worst", order.slice(order.length - each).reverse()));
}

function sortBy(key) {
  state.sort = key;
  state.descending = key !== NAME;
  update();
}

byId("sort").append(...[...FIELDS.values()].map(({ key, label }) => element("option", { value: key, text: label })), element("option", { value: NAME, text: "Name" }));
byId("sort").addEventListener("change", (event) => sortBy(event.target.value));
byId("direction").addEventListener("click", () => {
  state.descending = !state.descending;
  update();
});
byId("find").addEventListener("input", (event) => {
  state.text = event.target.value;
  update();
});
byId("size").addEventListener("change", (event) => sheet.resize(Number(event.target.value)));
for (const id of ["low", "high"]) {
  byId(id).addEventListener("input", () => limit(ranged(), Number(byId("low").value), Number(byId("high").value)));
}
if (matchMedia("(max-width: 899px)").matches) byId("overview").open = false;
tell();
update();
document.body.classList.remove("opening"); // at once: nothing moves under the reader
