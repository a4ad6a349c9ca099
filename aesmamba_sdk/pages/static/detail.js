// One photo, large, with what its score is made of.
const LARGEST = 2.5;

function startDetail(dialog, closed) {
  let photo = null, among = [], mapped = false;

  function open(chosen, photos) {
    photo = chosen;
    among = photos;
    mapped = false;
    draw();
    if (!dialog.open) dialog.showModal();
  }

  function move(step) {
    const next = among[among.indexOf(photo) + step];
    if (next === undefined) return;
    photo = next;
    draw();
  }

  function draw() {
    const position = among.indexOf(photo), map = DATA.maps[photo];
    const before = element("button", { type: "button", id: "before", "aria-label": "Photo before", text: "‹", disabled: position <= 0, onclick: () => move(-1) });
    const after = element("button", { type: "button", id: "after", "aria-label": "Next photo", text: "›", disabled: position >= among.length - 1, onclick: () => move(1) });
    const close = element("button", { type: "button", id: "close", text: "Close", onclick: () => dialog.close() });
    dialog.replaceChildren(
      element(
        "header",
        { class: "detail-top" },
        element("h2", { id: "detail-name", class: "name", text: DATA.names[photo] }),
        element("span", { class: "quiet", text: `${position + 1} of ${among.length.toLocaleString("en")}` }),
        before,
        after,
        close,
      ),
      element("div", { class: "detail-body" }, shownPicture(map), facts(map)),
    );
    if (!dialog.contains(document.activeElement)) close.focus();
  }

  function shownPicture(map) {
    if (mapped && map) {
      const told = `Regions of ${DATA.names[photo]} that raise its score in orange, those that lower it in blue`;
      return element("div", { class: "mat large" }, element("img", { src: map, alt: told }));
    }
    const seen = picture(photo, describe(photo));
    // On pages of many photos they are too small to be blown up further.
    const [width, height] = DATA.sizes[photo] ?? [0, 0];
    [seen.style.maxWidth, seen.style.maxHeight] = [`${LARGEST * width}px`, `${LARGEST * height}px`];
    return element("div", { class: "mat large" }, seen);
  }

  function facts(map) {
    const link = DATA.links[photo] && element("a", { href: DATA.links[photo], target: "_blank", rel: "noopener noreferrer", text: "Open the original" });
    const toggle = map && element("button", {
      type: "button",
      id: "regions",
      "aria-pressed": String(mapped),
      text: "Which regions matter",
      onclick: () => {
        mapped = !mapped;
        draw();
        byId("regions").focus();
      },
    });
    const count = Object.keys(DATA.maps).length;
    const without = count ? `Which regions matter was computed for ${counted(count, "photo")} only, the best and the worst.` : "Which regions matter was not computed.";
    return element(
      "div",
      { class: "facts" },
      scoreLine(),
      DATA.splits && splitBars(),
      attributeBars(),
      element("p", { class: "actions" }, toggle, link),
      map ? null : element("p", { class: "quiet reading", text: without }),
    );
  }

  function scoreLine() {
    const [low, high] = DATA.scale;
    const parts = [`on ${low}–${high}`];
    if (DATA.percentiles[photo] !== null) parts.push(`above ${percent(DATA.percentiles[photo])} of photos`);
    if (DATA.deviations) parts.push(`± ${DATA.deviations[photo].toFixed(2)}`);
    if (DATA.ratings[photo] !== null) parts.push(`rated ${DATA.ratings[photo]} by ${DATA.user}`);
    return element("p", { class: "headline" }, element("b", { text: DATA.values[photo].toFixed(2) }), element("span", { class: "quiet", text: parts.join(" · ") }));
  }

  /** From everyone's score to the person's, step by step on the scale. */
  function splitBars() {
    const [low, high] = DATA.scale;
    const share = (value) => (value - low) / (high - low);
    const [offset, slope, taste, cut] = DATA.splits[photo];
    let at = DATA.generic[photo];
    const steps = [[`${DATA.user}’s use of the scale`, offset + slope], ["taste", taste], ["end of the scale", cut]];
    const rows = [row("everyone’s score", bar(0, share(at), null), at.toFixed(2))];
    for (const [label, step] of steps) {
      if (label === "end of the scale" && Math.abs(step) < 0.005) continue;
      rows.push(row(label, bar(share(at), share(at + step), null, step < 0 ? "less" : "more"), signed(step)));
      at += step;
    }
    rows.push(row(WHOSE, bar(0, share(DATA.values[photo]), null, "own"), DATA.values[photo].toFixed(2)));
    return element("section", {}, element("h3", { text: "What the score is made of" }), element("ul", { class: "rows" }, ...rows));
  }

  /** Each attribute's rank among reference photos beside the generic score's own. */
  function attributeBars() {
    const [low, high] = DATA.scale;
    const ranks = DATA.ranks && DATA.ranks[photo];
    const rows = DATA.attributes.map((name, i) => {
      const score = DATA.attributeScores[photo][i];
      if (!ranks) return row(words(name), bar(0, (score - low) / (high - low), null), score.toFixed(2));
      const kind = i === 0 ? "" : ranks[i] - ranks[0] >= 0.05 ? "more" : ranks[0] - ranks[i] >= 0.05 ? "less" : "";
      return row(words(name), bar(0, ranks[i], i === 0 ? null : ranks[0], kind), percent(ranks[i]));
    });
    const title = ranks ? "Attributes, ranked among reference photos" : "Attributes";
    const legend = ranks && element("p", { class: "quiet reading", text: "Orange: ranks higher than the photo as a whole (the mark); blue: lower." });
    return element("section", {}, element("h3", { text: title }), element("ul", { class: "rows" }, ...rows), legend);
  }

  function row(label, drawn, number) {
    return element("li", {}, element("span", { text: label }), drawn, element("span", { class: "number", text: number }));
  }

  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move(step);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  dialog.addEventListener("close", () => closed(photo));
  return open;
}
