// The contact sheet: only the photos in view are in the document, however many there are.
// `drawTile(photo, photos)` gives the button of one photo; whatever scrolls may hold the sheet.
const GAP = 8, CAPTION = 40, MARGIN_ROWS = 3;

function startSheet(root, drawTile) {
  const tiles = new Map();
  let photos = [], cell = 168, active = 0, columns = 1, width = 168;

  const rowHeight = () => width + CAPTION + GAP;

  function measure() {
    const space = root.clientWidth;
    columns = Math.max(1, Math.floor((space + GAP) / (cell + GAP)));
    width = Math.floor((space - GAP * (columns - 1)) / columns);
    root.style.height = `${Math.ceil(photos.length / columns) * rowHeight()}px`;
  }

  function render() {
    const top = -root.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / rowHeight()) - MARGIN_ROWS) * columns;
    const last = Math.min(photos.length, (Math.ceil((top + innerHeight) / rowHeight()) + MARGIN_ROWS) * columns);
    const wanted = new Set();
    for (let position = first; position < last; position++) wanted.add(position);
    if (photos.length) wanted.add(active); // where the keyboard is
    for (const [position, tile] of tiles) {
      if (wanted.has(position)) continue;
      tile.remove();
      tiles.delete(position);
    }
    for (const position of wanted) place(position);
  }

  function place(position) {
    let tile = tiles.get(position);
    if (!tile) {
      tile = makeTile(position);
      tiles.set(position, tile);
      root.append(tile);
    }
    tile.style.width = `${width}px`;
    tile.style.height = `${rowHeight() - GAP}px`;
    tile.style.left = `${(position % columns) * (width + GAP)}px`;
    tile.style.top = `${Math.floor(position / columns) * rowHeight()}px`;
    tile.firstChild.tabIndex = position === active ? 0 : -1;
  }

  function makeTile(position) {
    const photo = photos[position];
    const item = { role: "listitem", class: "cell", "aria-posinset": position + 1, "aria-setsize": photos.length };
    return element("div", { ...item, "data-photo": photo }, drawTile(photo, photos));
  }

  function focus(position) {
    active = Math.min(Math.max(position, 0), photos.length - 1);
    render();
    tiles.get(active).scrollIntoView({ block: "nearest" });
    render();
    tiles.get(active).firstChild.focus({ preventScroll: true });
  }

  const moves = {
    ArrowLeft: () => active - 1,
    ArrowRight: () => active + 1,
    ArrowUp: () => (active >= columns ? active - columns : active),
    ArrowDown: () => (active + columns < photos.length ? active + columns : active),
    Home: () => 0,
    End: () => photos.length - 1,
  };
  root.addEventListener("keydown", (event) => {
    if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    focus(moves[event.key]());
  });
  root.addEventListener("focusin", (event) => {
    const tile = event.target.closest(".cell");
    for (const [position, known] of tiles) if (known === tile) active = position;
  });

  let waiting = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      render();
    });
  };
  addEventListener("scroll", later, { passive: true, capture: true });
  new ResizeObserver(() => {
    measure();
    later();
  }).observe(root);
  addEventListener("resize", later);

  function redraw() {
    for (const tile of tiles.values()) tile.remove();
    tiles.clear();
    measure();
    render();
  }

  return {
    show(chosen) {
      photos = chosen;
      active = 0;
      redraw();
    },
    resize(smallest) {
      cell = smallest;
      redraw();
    },
    focusPhoto(photo) {
      const position = photos.indexOf(photo);
      if (position >= 0) focus(position);
    },
  };
}
