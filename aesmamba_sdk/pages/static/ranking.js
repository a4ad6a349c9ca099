// What learning changed: the best photos before and now, and every photo's way up or down.
const BEST = 8;

function startRanking(names, open) {
  let facts = new Map(), orders = {};
  const sheet = startSheet(byId("sheet"), tile);

  function small(photo) {
    return element("span", { class: "mat" }, element("img", { src: address(photo, "small"), alt: "", loading: "lazy", decoding: "async", draggable: "false" }));
  }

  function tile(photo) {
    const { after, up } = facts.get(photo);
    const way = up === 0 ? "same place" : `${up > 0 ? "up" : "down"} ${Math.abs(up)}`;
    const moved = up === 0 ? "=" : `${up > 0 ? "▲" : "▼"} ${Math.abs(up)}`;
    return element(
      "button",
      { type: "button", class: "tile", "aria-label": `${names[photo]}, score ${after.toFixed(2)}, ${way}`, onclick: () => open(photo) },
      small(photo),
      element("span", { class: "score" }, element("b", { text: after.toFixed(2) }), element("span", { class: up > 0 ? "up" : up < 0 ? "down" : "quiet", text: moved })),
      element("span", { class: "name quiet", text: fileOf(names[photo]), title: names[photo] }),
    );
  }

  function strip(title, photos, key) {
    const one = (photo) => {
      const label = `${names[photo]}, ${facts.get(photo)[key].toFixed(2)}`;
      return element("li", {}, element("button", { type: "button", class: "tile", "aria-label": label, onclick: () => open(photo) }, small(photo), element("b", { text: facts.get(photo)[key].toFixed(2) })));
    };
    return element("div", { class: "strip" }, element("h3", { text: title }), element("ul", {}, ...photos.slice(0, BEST).map(one)));
  }

  function describe({ report, personalBefore }) {
    byId("ranking-title").textContent = `Learned from ${counted(report.shots, "rating")} of ${report.user}`;
    const told = [];
    if (report.srcc === null) told.push("Too few different ratings to tell taste yet: these are everyone’s scores on your scale.");
    else {
      told.push(`On ratings held out, the new order agrees with yours at ${number(report.srcc)}, everyone’s at ${number(report.generic_srcc)} (1: fully, 0: by chance).`);
      told.push(report.trust === 0 ? "No taste beyond your use of the scale was found yet; more ratings may tell." : `Learned taste counts ${percent(report.trust)}.`);
    }
    if (report.problems.length) told.push(`${counted(report.problems.length, "rating")} could not be used: ${report.problems[0]}`);
    byId("ranking-text").textContent = told.join(" ");
    return personalBefore ? "Best before, for you" : "Best before, for everyone";
  }

  byId("order").addEventListener("change", (event) => sheet.show(orders[event.target.value]));

  return (learned) => {
    facts = new Map(learned.ranking.map(([photo, before, after]) => [photo, { before, after }]));
    const after = learned.ranking.map(([photo]) => photo);
    const before = [...after].sort((a, b) => facts.get(b).before - facts.get(a).before);
    before.forEach((photo, place) => (facts.get(photo).up = place));
    after.forEach((photo, place) => (facts.get(photo).up -= place));
    const moved = [...after].sort((a, b) => Math.abs(facts.get(b).up) - Math.abs(facts.get(a).up));
    orders = { before, after, moved };
    const title = describe(learned);
    byId("strips").replaceChildren(strip(title, before, "before"), strip("Best now", after, "after"));
    byId("order").value = "after";
    showSection("ranking");
    sheet.show(after);
    byId("ranking-title").focus();
  };
}
