// The page: one card an item, the current one with its buttons; keys do what buttons do.

const data = JSON.parse(document.getElementById("data").textContent);
const store = new Store(data);
const at = (id) => document.getElementById(id);
const KINDS = { conflict: "Label conflicts", label: "Suspected labels", cluster: "Copies", fault: "Odd pictures", further: "Further down" };
const GROUP = "group"; // the issue of a merge: it stands beside what is decided of the image
const CHUNK = 30;
const classes = [...data.classes];
const undone = []; // snapshots before each decision, with the item they were about
const visited = [];
let shown = []; // items that pass the filter
let current = null;
let chosen = 0; // image of the current item, where it has several
let rendered = 0;
let kind = "all";
let handle = null;

// Text goes in as text only: names of files and classes come from the user's folder.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const percent = (share) => (share >= 0.995 ? "100" : share < 0.005 ? "<1" : String(Math.round(100 * share))) + "\u00a0%";
const plain = (label) => (label.startsWith(NEW_CLASS) ? label.slice(NEW_CLASS.length) : label);
const isCluster = (item) => item.kind === "conflict" || item.kind === "cluster";
const image = () => current.images[Math.min(chosen, current.images.length - 1)];

// ---- what is decided of an item

function rowOf(picture) {
  const rows = picture.issues.map(([issue]) => store.get(picture.sha256, issue));
  return rows.every(Boolean) ? rows[0] : null;
}

const keysOf = (picture) => picture.issues.map(([issue]) => keyOf(picture.sha256, issue));

const isTouched = (picture) => rowOf(picture) || store.get(picture.sha256, GROUP);

// The same bytes may stand under two labels: keep_one names the label that is kept.
const isOne = (picture, row) => row && row.decision === "keep_one" && (!row.new_label || plain(row.new_label) === picture.label);
const hasTwin = (item, picture) => item.images.some((one) => one !== picture && one.sha256 === picture.sha256);

function stateOf(item) {
  const rows = item.images.map(rowOf);
  const one = rows.find((row) => row && row.decision === "keep_one");
  if (one) return one;
  if (!isCluster(item)) return rows[0];
  const left = rows.filter((row) => !row || !["exclude", "split_group"].includes(row.decision));
  const whole = item.more === 0 && left.length < 2;
  const last = rows.filter(Boolean).at(-1);
  return whole || rows.every(Boolean) ? last : null;
}

function words(row) {
  const verbs = {
    keep: "kept", exclude: "excluded", keep_one: "this one kept, its copies excluded", split_group: "split off",
    relabel: "relabelled: " + plain(row.new_label), merge_group: "merged into a group",
  };
  return verbs[row.decision];
}

// ---- deciding

const now = () => new Date().toISOString().slice(0, 19) + "Z";

function rowFor(picture, issue, score, decision, newLabel) {
  const before = store.get(picture.sha256, issue) || {};
  // A class that only decisions make is made by each of them: the one that made it first may be withdrawn.
  const made = newLabel && decision !== "merge_group" && !newLabel.startsWith(NEW_CLASS) && !data.given.includes(newLabel);
  return {
    sha256: picture.sha256, issue, decision, new_label: made ? NEW_CLASS + newLabel : newLabel, reviewer: at("reviewer").value.trim(),
    time: now(), note: before.note || "",
    score_seen: score === null ? "" : String(score), label_seen: picture.given,
  };
}

function decide(decision, newLabel = "", confirmed = false) {
  if (!current) return;
  const item = current, picture = image();
  if (decision === "relabel" && plain(newLabel) === picture.label && !hasTwin(item, picture)) decision = "keep", newLabel = "";
  const relabelled = picture.label !== picture.given && picture.issues.some(([issue]) => issue === "suspect_label");
  if (decision === "keep" && relabelled) decision = "relabel", newLabel = picture.label; // keep would mean the folder's label
  if (["keep_one", "split_group"].includes(decision) && !isCluster(item)) return say("Only an image that has copies can be kept as the one, or split off.");
  if (decision === "split_group" && picture.exact) return say("An exact copy cannot be split off.");
  const relabels = newLabel && ["relabel", "keep_one"].includes(decision) && (plain(newLabel) !== picture.label
    || (decision === "relabel" && hasTwin(item, picture)));
  if (relabels && picture.side === "test" && !confirmed) return confirmTest(newLabel, () => decide(decision, newLabel, true));
  const before = store.snapshot();
  let rows;
  const settled = item.images.some((one) => (rowOf(one) || {}).decision === "keep_one");
  if (isCluster(item) && decision !== "merge_group" && (settled || decision === "keep_one")) {
    store.remove(item.images.flatMap(keysOf)); // one kept image settles its cluster, and anything else reopens it
  }
  if (decision === "keep" && isCluster(item)) {
    const open = item.images.filter((one) => !rowOf(one));
    rows = (open.length ? open : [picture]).flatMap((one) => one.issues.map(([issue, score]) => rowFor(one, issue, score, "keep", "")));
  } else if (decision === "merge_group") {
    rows = [rowFor(picture, GROUP, null, decision, newLabel)];
  } else {
    rows = picture.issues.map(([issue, score]) => rowFor(picture, issue, score, decision, newLabel));
  }
  if (decision === "keep_one") { // the others were seen too: one that joins them later was not
    const others = item.images.filter((one) => one.sha256 !== picture.sha256);
    rows.push(...others.flatMap((one) => one.issues.map(([issue, score]) => rowFor(one, issue, score, "exclude", ""))));
  }
  const gone = store.put(rows);
  undone.push({ before, item, chosen });
  if (newLabel && decision === "relabel" && !classes.includes(plain(newLabel))) classes.push(plain(newLabel));
  refresh(item);
  const replaced = gone.length ? ` It replaces “${gone.map(words).join("”, “")}”.` : "";
  say(`${decision === "merge_group" ? "Merged" : capital(words(rows[0]))}.${replaced}`);
  if (decision === "merge_group") return; // which is no answer to what is asked here
  if (stateOf(item)) next();
  else if (isCluster(item)) moveInside(1);
}

function relabelToSuggestion() {
  if (!current) return;
  if (current.suggested) return decide("relabel", current.suggested);
  const others = [...new Set(current.images.map((one) => one.label))].filter((label) => label !== image().label);
  return others.length === 1 ? decide("relabel", others[0]) : chooseClass();
}

function keepOne() {
  if (!current) return;
  const twin = current.images.some((one) => one.label !== image().label);
  decide("keep_one", twin ? image().label : "");
}

function undo() {
  const last = undone.pop();
  if (last) {
    store.restore(last.before);
    show(last.item);
    chosen = last.chosen;
    refresh(last.item);
    return say("Undone.");
  }
  if (current && current.images.some(isTouched)) {
    store.remove(current.images.flatMap((one) => [...keysOf(one), keyOf(one.sha256, GROUP)]));
    refresh(current);
    return say("Open again.");
  }
  return say("Nothing to undo.");
}

// ---- moving

function next() {
  const from = shown.indexOf(current);
  const open = shown.findIndex((item, i) => i > from && !stateOf(item));
  if (open >= 0) go(open);
  else if (shown.some((item) => !stateOf(item))) go(shown.findIndex((item) => !stateOf(item)));
  else { summary(); refresh(current); }
}

function step(by) {
  if (!shown.length) return;
  go(Math.min(Math.max(shown.indexOf(current) + by, 0), shown.length - 1));
}

function moveInside(by) {
  if (!current || current.images.length < 2) return;
  chosen = (chosen + by + current.images.length) % current.images.length;
  refresh(current);
}

function show(item) {
  if (!shown.includes(item)) { at("open").checked = false; at("class").value = ""; kind = item.kind === "further" ? "further" : "all"; filter(); }
  go(shown.indexOf(item));
}

function go(index) {
  const before = current;
  while (rendered <= index && rendered < shown.length) renderChunk();
  current = shown[index] || null;
  chosen = 0;
  if (current && visited[0] !== current) { visited.unshift(current); visited.length = Math.min(visited.length, 12); }
  if (before && before !== current) refresh(before);
  if (!current) return;
  refresh(current);
  align();
  requestAnimationFrame(align); // cards that come into sight take their true height and move the others
  current.card.focus({ preventScroll: true });
}

// The current card always stands at the same place, so that the eye need not look for it.
function align() {
  if (!current || !current.card) return;
  const top = current.card.getBoundingClientRect().top - document.querySelector("header").offsetHeight - 14;
  if (Math.abs(top) > 1) window.scrollBy({ top, behavior: "instant" });
}

// ---- drawing

function thumb(id, alt) {
  const uri = data.pictures[id];
  return uri ? make("img", { src: uri, alt, loading: "lazy", decoding: "async" }) : make("span", { class: "blank" }, "no picture");
}

function badge(side) {
  return side ? make("span", { class: "side " + side, title: `Stands in the ${side} split` }, side) : null;
}

function figure(item, picture, index) {
  const row = rowOf(picture), picked = item === current && index === chosen && item.images.length > 1;
  const merged = store.get(picture.sha256, GROUP);
  const left = isCluster(item) && stateOf(item), one = left && left.decision === "keep_one";
  const gone = (row && ["exclude", "split_group"].includes(row.decision)) || (one && !isOne(picture, row));
  const said = isCluster(item) && (one && !isOne(picture, row) ? "excluded with its cluster" : row && words(row));
  const verdicts = [said, merged && words(merged)].filter(Boolean).map((text) => make("span", { class: "verdict" }, text));
  return make("figure", {
    class: ["shot", picked && "picked", gone && "gone", isOne(picture, row) && "one"].filter(Boolean).join(" "),
    on: { click: () => { if (current !== item) go(shown.indexOf(item)); chosen = index; refresh(item); } },
  },
  make("span", { class: "frame" }, thumb(picture.id, `${picture.path}, labelled ${picture.label}`), badge(picture.side)),
  isCluster(item) && make("figcaption", {}, make("b", {}, picture.label), make("span", { class: "small" }, picture.note),
    make("span", { class: "small path", title: picture.path }, picture.path),
    ...verdicts),
  !isCluster(item) && merged && make("figcaption", {}, ...verdicts));
}

function likelihoods(item) {
  if (item.p_given === null) return null;
  const line = (name, share, tone) => make("div", { class: "likely " + tone },
    make("span", { class: "name" }, name), make("span", { class: "track" }, make("span", { style: `width:${(100 * share).toFixed(1)}%` })),
    make("span", { class: "n" }, percent(share)));
  return make("div", { class: "likelihoods" }, line(item.images[0].label, item.p_given, "given"), line(item.suggested, item.p_suggested, "other"));
}

function neighbours(item) {
  if (!item.neighbours.length) return null;
  const own = item.images[0].label;
  return make("div", { class: "around" }, make("span", { class: "small" }, "Looks most like"),
    make("ul", {}, ...item.neighbours.map((one) => make("li", { title: `${one.path}, ${percent(one.similarity)} alike` },
      thumb(one.id, `${one.path}, labelled ${one.label}`),
      make("span", { class: one.label === own ? "same" : one.label === item.suggested ? "other" : "" }, one.label)))));
}

function headline(item) {
  const first = item.images[0];
  if (item.suggested) return make("h2", {}, "Labelled ", make("b", {}, first.label), ", looks like ", make("b", { class: "other" }, item.suggested));
  const names = [...new Set(item.images.map((one) => one.label))];
  if (item.kind === "conflict") return make("h2", {}, "One picture under ", ...names.flatMap((name, i) => [i ? ", " : "", make("b", { class: i ? "other" : "" }, name)]));
  if (item.kind === "cluster") return make("h2", {}, `${item.images.length + item.more} copies of `, make("b", {}, names[0]));
  return make("h2", {}, capital(item.images[0].issues.map(([issue]) => issue.replaceAll("_", " ")).join(", ")), ", labelled ", make("b", {}, first.label));
}

function buttons(item) {
  const button = (key, text, act, strong) => make("button", { type: "button", class: strong ? "strong" : null, "aria-keyshortcuts": key, on: { click: (event) => { event.stopPropagation(); act(); } } },
    make("kbd", { "aria-hidden": "true" }, key), text);
  const cluster = isCluster(item);
  const others = [...new Set(item.images.map((one) => one.label))].filter((label) => label !== image().label);
  const suggestion = item.suggested || (others.length === 1 ? others[0] : null);
  return make("div", { class: "buttons" },
    cluster && button("O", "Keep this one", keepOne, true),
    button("K", cluster ? "Right as they are" : item.suggested ? "Label is right" : "Fine as it is", () => decide("keep"), item.kind === "fault"),
    suggestion && button("R", make("span", {}, "Relabel: ", make("b", {}, suggestion)), relabelToSuggestion, item.kind === "label"),
    button("X", "Exclude", () => decide("exclude")), button("C", "Other class …", chooseClass),
    cluster && !image().exact && button("S", "No copy: split off", () => decide("split_group")),
    button("M", "Same group as …", chooseGroup), rowOf(image()) && button("N", "Note", writeNote),
    item.images.some(isTouched) && button("U", "Undo", undo));
}

function card(item) {
  const state = stateOf(item), row = state && rowOf(item.images[0]);
  const noted = item.images.map(rowOf).find((one) => one && one.note);
  const box = make("article", {
    class: ["card", item.kind, item === current && "current", state && "done"].filter(Boolean).join(" "), tabindex: item === current ? "0" : "-1",
    "aria-current": item === current ? "true" : null, "aria-label": `${KINDS[item.kind]}: ${item.images[0].path}`,
    on: { click: () => { if (current !== item) go(shown.indexOf(item)); } },
  },
  make("div", { class: "shots" }, ...item.images.map((picture, i) => figure(item, picture, i)),
    item.more > 0 && make("span", { class: "small more" }, `and ${item.more} more`)),
  make("div", { class: "text" },
    make("div", { class: "tags" }, make("span", { class: "kind" }, KINDS[item.kind]), item.rank > 0 && make("span", { class: "small" }, "rank " + item.rank),
      state && make("span", { class: "verdict" }, "✓ " + (isCluster(item) ? "decided" : words(row || state)))),
    headline(item), item.again && make("p", { class: "again" }, item.again), likelihoods(item),
    item.evidence && make("p", { class: "evidence" }, item.evidence),
    !isCluster(item) && make("p", { class: "small path" }, item.images[0].path),
    neighbours(item), noted && make("p", { class: "small note" }, "Note: " + noted.note), item === current && buttons(item)));
  return box;
}

function refresh(item) {
  if (item && item.card) {
    const focused = item.card.contains(document.activeElement) && !at("dialog").open;
    const fresh = card(item);
    item.card.replaceWith(fresh);
    item.card = fresh;
    if (focused) fresh.focus({ preventScroll: true });
  }
  summary();
}

function renderChunk() {
  const part = document.createDocumentFragment();
  for (const item of shown.slice(rendered, rendered + CHUNK)) part.append(item.card = card(item));
  rendered = Math.min(rendered + CHUNK, shown.length);
  at("feed").append(part);
}

// What lies below the cutoff is there for those who want to go on, and is not counted as waiting.
function ofKind(item, wanted) { return wanted === "all" ? item.kind !== "further" : item.kind === wanted; }

function filter() {
  const name = at("class").value, openOnly = at("open").checked;
  data.items.forEach((item) => { item.card = null; });
  shown = data.items.filter((item) => ofKind(item, kind) && (!openOnly || !stateOf(item))
    && (!name || item.suggested === name || item.images.some((one) => one.label === name)));
  at("feed").replaceChildren();
  rendered = 0;
  const stay = shown.indexOf(current);
  current = null;
  renderChunk();
  go(Math.max(stay, 0));
  summary();
}

function summary() {
  const asked = data.items.filter((item) => ofKind(item, "all"));
  const done = asked.filter(stateOf).length, total = asked.length;
  at("count").textContent = total ? `${done} of ${total} decided` : "nothing to decide";
  at("track").setAttribute("aria-valuemax", String(total));
  at("track").setAttribute("aria-valuenow", String(done));
  at("fill").style.width = (total ? (100 * done) / total : 100) + "%";
  const last = store.precision();
  at("precision").textContent = last.counted ? `of the last ${last.counted} suspected labels ${last.found} wrong` : "";
  at("stop").hidden = !last.stop;
  at("stop").textContent = last.stop ? `You can stop: only ${last.found} of the last ${last.counted} suspected labels were wrong. What follows is ranked lower still.` : "";
  at("save").classList.toggle("due", !store.saved);
  at("save").textContent = !store.saved && store.rows.size ? `Save decisions.csv (${store.rows.size})` : "Save decisions.csv";
  at("end").textContent = !shown.length ? (total ? "Nothing here passes the filter." : "Nothing waits for a decision.")
    : done === total && kind !== "further" ? "All decided. Save decisions.csv into the project, then run automl-cnn run." : "";
  for (const button of at("kinds").children) {
    const of = data.items.filter((item) => ofKind(item, button.value));
    button.setAttribute("aria-pressed", String(button.value === kind));
    button.lastChild.textContent = String(of.length - of.filter(stateOf).length);
  }
}

function capital(text) { return text.charAt(0).toUpperCase() + text.slice(1); }

let sayTimer = 0;
function say(text) {
  at("toast").textContent = text;
  at("toast").classList.add("up");
  clearTimeout(sayTimer);
  sayTimer = setTimeout(() => at("toast").classList.remove("up"), 2600);
}
