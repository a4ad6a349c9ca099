// Rating: one photo at a time, each rating kept by the program as it is given.
const WORDS = ["poor", "weak", "fair", "good", "wonderful"];
const AHEAD = 2, FEW_LEFT = 5, LEAST = 2, POLL_MS = 300, SWIPE = 60;

startTheme(byId("theme"));
const given = await ask("GET", "state");
const ratings = new Map(Object.entries(given.ratings).map(([photo, score]) => [Number(photo), score]));
const queue = [...given.offered], done = [];
let at = 0, rated = given.rated, offered = queue.length, asking = null, allOffered = false;
let pending = 0, saving = Promise.resolve(), last = "";
const showRanking = startRanking(given.names, goTo);

const current = () => queue[at];

function show() {
  const photo = current();
  if (photo === undefined) return showEnd();
  showSection("rating");
  const name = given.names[photo];
  byId("name").textContent = name;
  const picture = element("img", { src: address(photo, "large"), alt: name, draggable: "false" });
  picture.decode().then(
    () => current() === photo && byId("photo").replaceChildren(picture),
    () => current() === photo && byId("photo").replaceChildren(element("p", { class: "quiet", text: "This photo can no longer be read." })),
  );
  for (const button of byId("stars").children) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.score) === ratings.get(photo)));
  }
  byId("back").disabled = at === 0;
  tell();
  for (const coming of queue.slice(at + 1, at + 1 + AHEAD)) new Image().src = address(coming, "large");
  if (queue.length - at <= FEW_LEFT) offerMore();
}

function tell() {
  const here = queue.filter((photo) => ratings.has(photo)).length;
  const goal = Math.min(given.goal, queue.length || given.goal);
  byId("progress").max = goal;
  byId("progress").value = Math.min(here, goal);
  const far = here >= goal ? `${here} rated, enough to learn from` : `${here} of ${goal} rated`;
  byId("told").textContent = far + (pending ? " · saving …" : last);
  byId("learn").disabled = rated < LEAST;
  byId("learn").title = rated < LEAST ? `Rate at least ${LEAST} photos` : "";
  byId("learn").classList.toggle("primary", here >= goal);
  byId("undo").disabled = done.length === 0;
}

function showEnd() {
  showSection("end");
  const failed = given.failed.length ? ` ${counted(given.failed.length, "photo")} could not be read.` : "";
  byId("end-text").textContent = `${counted(queue.filter((photo) => ratings.has(photo)).length, "photo")} rated here.${failed} Learn from them now, or go back to those you passed.`;
  tell();
  offerMore();
}

/** Asks which photos teach most by now; photos that were offered are not offered again. */
function offerMore() {
  if (asking || allOffered) return;
  asking = ask("POST", "offer", { known: offered })
    .then(({ offered: found }) => {
      const atEnd = current() === undefined;
      allOffered = found.length === 0;
      offered += found.length;
      queue.push(...found);
      if (atEnd && found.length && !byId("end").hidden) show();
    })
    .catch((error) => trouble(error.message))
    .finally(() => (asking = null));
}

function move(step) {
  at = Math.min(Math.max(at + step, 0), queue.length);
  show();
}

function goTo(photo) {
  at = queue.indexOf(photo);
  if (at < 0) at = queue.push(photo) - 1;
  show();
}

function rate(score) {
  const photo = current();
  if (photo === undefined) return;
  done.push({ photo, before: ratings.get(photo) ?? null });
  keep(photo, score, ratings.get(photo) ?? null);
  move(1);
}

function skip() {
  if (current() === undefined) return;
  done.push({ photo: current(), skippedAt: at });
  queue.splice(at, 1);
  show();
}

function undo() {
  const step = done.pop();
  if (!step) return;
  if (step.skippedAt !== undefined) queue.splice(step.skippedAt, 0, step.photo);
  else keep(step.photo, step.before, ratings.get(step.photo) ?? null);
  goTo(step.photo);
}

/** Lets the program keep a rating (`null`: none), one after the other in the order they were given. */
function keep(photo, score, before) {
  remember(photo, score);
  pending += 1;
  saving = saving.then(async () => {
    try {
      const answer = score === null ? ask("DELETE", `rating/${photo}`) : ask("PUT", `rating/${photo}`, { score });
      ({ rated } = await answer);
      last = score === null ? " · taken back" : ` · kept ${score}`;
      trouble("");
    } catch (error) {
      remember(photo, before);
      const undone = done.findLastIndex((one) => one.photo === photo);
      if (undone >= 0) done.splice(undone, 1);
      trouble(`${given.names[photo]} was not saved: ${error.message}`);
    }
    pending -= 1;
    tell();
  });
}

function remember(photo, score) {
  if (score === null) ratings.delete(photo);
  else ratings.set(photo, score);
}

async function learn() {
  showSection("working");
  byId("learn").disabled = true;
  try {
    await saving;
    let learned = await ask("POST", "learning");
    while (learned.state === "running") {
      tellWork(learned.progress);
      await new Promise((later) => setTimeout(later, POLL_MS));
      learned = await ask("GET", "learning");
    }
    if (learned.state === "failed") throw new Error(learned.error.message);
    trouble("");
    showRanking(learned);
  } catch (error) {
    trouble(error.message);
    show();
  }
  byId("learn").disabled = rated < LEAST;
}

function tellWork(progress) {
  const [what, finished, total] = progress ?? ["ranking", 0, 0];
  byId("work-text").textContent = total ? `${what}: ${finished} of ${total}` : what;
  if (total) [byId("work").max, byId("work").value] = [total, finished];
  else byId("work").removeAttribute("value");
}

function useKey(event) {
  if (event.altKey || event.metaKey || (byId("rating").hidden && byId("end").hidden)) return;
  if (event.ctrlKey && event.key !== "z") return;
  const keys = { ArrowLeft: () => move(-1), ArrowRight: () => move(1), s: skip, u: undo, z: event.ctrlKey && undo, Backspace: undo };
  const score = Number(event.key);
  const use = score >= 1 && score <= 5 ? () => rate(score) : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!use) return;
  event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) use(); // a key held down rates one photo
}

function useSwipes(stage) {
  let start = null;
  stage.addEventListener("pointerdown", (event) => (start = event.isPrimary ? event.clientX : null));
  stage.addEventListener("pointercancel", () => (start = null));
  stage.addEventListener("pointerup", (event) => {
    const far = start === null ? 0 : event.clientX - start;
    start = null;
    if (Math.abs(far) >= SWIPE) move(far < 0 ? 1 : -1);
  });
}

byId("title").textContent = `Photos for ${given.user}`;
byId("stars").append(
  ...WORDS.map((word, i) =>
    element("button", { type: "button", "data-score": i + 1, "aria-keyshortcuts": i + 1, "aria-label": `${i + 1}, ${word}`, onclick: () => rate(i + 1) }, element("b", { text: i + 1 }), element("span", { class: "quiet", text: word })),
  ),
);
for (const [id, use] of [["back", () => move(-1)], ["next", () => move(1)], ["skip", skip], ["undo", undo], ["end-back", () => move(-1)], ["learn", learn], ["more", show]]) {
  byId(id).addEventListener("click", use);
}
document.addEventListener("keydown", useKey);
addEventListener("beforeunload", (event) => pending && event.preventDefault());
useSwipes(byId("stage"));
const first = queue.findIndex((photo) => !ratings.has(photo));
at = first < 0 ? queue.length : first;
show();
document.body.classList.remove("opening");
