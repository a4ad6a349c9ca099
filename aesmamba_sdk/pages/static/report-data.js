// The report's photos: one column a fact, the fields to sort by, and what the filters let through.
const DATA = JSON.parse(byId("data").textContent);
const COUNT = DATA.names.length;
const WHOSE = DATA.user === null ? null : `${DATA.user}’s score`;
const NAME = "name";

function field(key, label, values) {
  const known = values.filter((value) => value !== null);
  const least = Math.min(...known), most = Math.max(...known);
  return { key, label, values, low: known.length ? least : 0, high: known.length ? most : 1 };
}

const FIELDS = new Map();
for (const made of [
  field("value", WHOSE ?? "Score", DATA.values),
  ...(DATA.generic === null
    ? []
    : [
        field("generic", "Everyone’s score", DATA.generic),
        field("difference", `Difference (${DATA.user} − everyone)`, DATA.values.map((value, i) => value - DATA.generic[i])),
      ]),
  ...(DATA.deviations === null ? [] : [field("deviation", "Uncertainty (±)", DATA.deviations)]),
  // The first attribute is everyone's score.
  ...DATA.attributes.slice(1).map((name, i) => field(`attribute:${name}`, words(name), DATA.attributeScores.map((row) => row[i + 1]))),
]) {
  FIELDS.set(made.key, made);
}

// What the end of the scale took from a score still ranks it.
const UNCUT = DATA.splits === null ? DATA.values : DATA.values.map((value, i) => value - DATA.splits[i][3]);

const state = { sort: "value", descending: true, text: "", ranges: new Map() };
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const NAME_ORDER = DATA.names.map((_, i) => i).sort((a, b) => collator.compare(DATA.names[a], DATA.names[b]));
const NAME_RANK = new Int32Array(COUNT);
NAME_ORDER.forEach((photo, rank) => (NAME_RANK[photo] = rank));
const FOLDED = DATA.names.map((name) => name.toLocaleLowerCase("en"));

/** Numbers of the photos that the filters let through; those on the field `except` are left out of account. */
function passing(except = null) {
  const wanted = state.text.toLocaleLowerCase("en").split(/\s+/).filter(Boolean);
  const ranges = [...state.ranges].filter(([key]) => key !== except);
  const found = [];
  for (let i = 0; i < COUNT; i++) {
    if (!wanted.every((word) => FOLDED[i].includes(word))) continue;
    if (ranges.every(([key, [low, high]]) => inRange(FIELDS.get(key).values[i], low, high))) found.push(i);
  }
  return found;
}

function inRange(value, low, high) {
  return value !== null && value >= low - 1e-9 && value <= high + 1e-9;
}

function sorted(photos) {
  const turn = state.descending ? -1 : 1;
  if (state.sort === NAME) return photos.sort((a, b) => turn * (NAME_RANK[a] - NAME_RANK[b]));
  const values = state.sort === "value" ? UNCUT : FIELDS.get(state.sort).values;
  return photos.sort((a, b) => turn * (values[a] - values[b]) || NAME_RANK[a] - NAME_RANK[b]);
}

/** What a tile says below its photo: the score, and what it is sorted by or differs by. */
function caption(i) {
  const sort = FIELDS.get(state.sort);
  if (sort && sort.key !== "value" && sort.key !== "difference") {
    return [DATA.values[i].toFixed(2), `${sort.key === "deviation" ? "± " : ""}${sort.values[i].toFixed(2)}`, ""];
  }
  if (DATA.generic === null) return [DATA.values[i].toFixed(2), "", ""];
  const difference = DATA.values[i] - DATA.generic[i];
  return [DATA.values[i].toFixed(2), signed(difference), difference < 0 ? "down" : "up"];
}

function describe(i) {
  const parts = [DATA.names[i], `score ${DATA.values[i].toFixed(2)}`];
  const sort = FIELDS.get(state.sort);
  if (sort && sort.key !== "value") parts.push(`${sort.label} ${number(sort.values[i])}`);
  return parts.join(", ");
}

/** The photo as an image whose place is kept before it is there. */
function picture(i, alternative) {
  const [width, height] = DATA.sizes[i] ?? [3, 2];
  if (DATA.thumbnails[i] === null) {
    return element("span", { class: "missing quiet", text: "gone since it was scored" });
  }
  return element("img", { src: DATA.thumbnails[i], alt: alternative, width, height, decoding: "async", draggable: "false" });
}
