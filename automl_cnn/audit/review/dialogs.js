// What asks back (class, group, note, test split, keys), what saves, and the keyboard.

function ask(title, ...content) {
  const box = at("dialog");
  box.replaceChildren(make("form", { method: "dialog" }, make("h2", { id: "dialog-title" }, title), ...content));
  box.onclose = () => { if (current && current.card) current.card.focus({ preventScroll: true }); };
  box.showModal();
  const first = box.querySelector("input, textarea, button.strong");
  if (first) first.focus();
  return box;
}

function closing(act) { return (event) => { event.preventDefault(); at("dialog").close(); act(); }; }

function cancel() { return make("button", { type: "button", on: { click: () => at("dialog").close() } }, "Cancel"); }

function confirmTest(label, act) {
  ask("This image is in the test split",
    make("p", {}, "A new label here (", make("b", {}, plain(label)), ") changes what the test measures: figures before and after it cannot be compared. It is right when the label is wrong, and wrong when it is only hard to tell."),
    make("div", { class: "buttons" }, make("button", { type: "button", class: "strong", on: { click: closing(act) } }, "Relabel it"), cancel()));
}

function chooseClass() {
  if (!current) return;
  const list = make("ul", { class: "options", role: "listbox", "aria-label": "Classes" });
  const input = make("input", { "aria-label": "Class", placeholder: "type to find a class, or a new one", autocomplete: "off", spellcheck: "false" });
  const options = () => {
    const typed = input.value.trim(), small = typed.toLowerCase();
    const found = classes.filter((name) => name.toLowerCase().includes(small));
    found.sort((a, b) => Number(b.toLowerCase().startsWith(small)) - Number(a.toLowerCase().startsWith(small)));
    const entries = found.map((name) => [data.classes.includes(name) ? name : NEW_CLASS + name, name]);
    if (typed && !classes.includes(typed)) entries.push([NEW_CLASS + typed, `new class: ${typed}`]);
    return entries;
  };
  const pick = (value) => { at("dialog").close(); decide("relabel", value); };
  const draw = () => list.replaceChildren(...options().map(([value, text], i) => make("li", { role: "option", "aria-selected": String(i === 0) },
    make("button", { type: "button", on: { click: () => pick(value) } }, text))));
  input.addEventListener("input", draw);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const [best] = options();
    if (best) pick(best[0]);
  });
  draw();
  ask("Which class is it?", input, list, make("div", { class: "buttons" }, cancel()));
}

function chooseGroup() {
  if (!current) return;
  const own = image().sha256, seen = new Set([own]);
  const near = [...current.neighbours, ...current.images, ...visited.flatMap((item) => item.images)]
    .filter((one) => !seen.has(one.sha256) && seen.add(one.sha256)).slice(0, 8);
  const input = make("input", { "aria-label": "Path or sha256 of the other image", placeholder: "or: path or sha256 of the other image", spellcheck: "false" });
  const known = new Map(data.items.flatMap((item) => [...item.images, ...item.neighbours]).map((one) => [one.path, one.sha256]));
  const pick = (sha256) => { at("dialog").close(); decide("merge_group", sha256); };
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const text = input.value.trim(), sha256 = known.get(text) || (/^[0-9a-f]{64}$/i.test(text) ? text.toLowerCase() : "");
    if (sha256 && sha256 !== own) pick(sha256);
    else say("No other image on this page has that path; a sha256 has 64 hexadecimal digits.");
  });
  ask("Which image does it belong with?", make("p", { class: "small" }, "Both will stand on the same side of the split: the same object, person, device or session."),
    make("ul", { class: "picks" }, ...near.map((one) => make("li", {}, make("button", { type: "button", title: one.path, on: { click: () => pick(one.sha256) } }, thumb(one.id, one.path), make("span", {}, one.label))))),
    input, make("div", { class: "buttons" }, cancel()));
}

function writeNote() {
  if (!current) return;
  const picture = image(), row = rowOf(picture);
  if (!row) return say("Decide first, then add a note.");
  const field = make("textarea", { rows: "4", "aria-label": "Note" });
  field.value = row.note;
  const item = current;
  const done = () => {
    const before = store.snapshot();
    store.put(picture.issues.map(([issue]) => ({ ...store.get(picture.sha256, issue), note: field.value.trim(), time: now() })));
    undone.push({ before, item, chosen });
    refresh(item);
  };
  ask("Note", field, make("div", { class: "buttons" }, make("button", { type: "submit", class: "strong", on: { click: closing(done) } }, "Keep the note"), cancel()));
}

function showHelp() {
  const lines = [
    ["J ↓", "next"], ["B ↑", "back"], ["← →", "another image of the same cluster"], ["K", "keep: looked at, right as it is"],
    ["R", "relabel to the suggestion"], ["C", "another class, or a new one, by typing"],
    ...classes.slice(0, 9).map((name, i) => [String(i + 1), "relabel: " + name]),
    ["X", "exclude: the image is used nowhere"], ["O", "keep this one, exclude its copies"],
    ["S", "split off: it only resembles the others"], ["M", "same group as another image"], ["N", "a note on the decision"], ["U", "undo"], ["Ctrl S", "save decisions.csv"],
  ];
  ask("Keys", make("dl", { class: "keys" }, ...lines.flatMap(([key, text]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, text)])),
    make("p", { class: "small" }, "Decisions stay in this browser until you save them. Put decisions.csv into the project, commit it, and run automl-cnn run. Your images are never changed."),
    make("div", { class: "buttons" }, make("button", { type: "submit", class: "strong" }, "Close")));
}

async function save() {
  const text = store.csv();
  if ("showSaveFilePicker" in window) {
    try {
      handle = handle || await window.showSaveFilePicker({ suggestedName: "decisions.csv", types: [{ description: "CSV", accept: { "text/csv": [".csv"] } }] });
      const file = await handle.createWritable();
      await file.write(text);
      await file.close();
      return saved(`Saved ${handle.name}.`);
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      handle = null; // no leave to write there: offer it as a download
    }
  }
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "decisions.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  return saved("decisions.csv is in your downloads: move it into the project's folder.");
}

function saved(text) {
  store.markSaved();
  summary();
  say(text);
}

const ACTS = {
  j: () => step(1), arrowdown: () => step(1), b: () => step(-1), arrowup: () => step(-1),
  arrowright: () => moveInside(1), arrowleft: () => moveInside(-1),
  k: () => decide("keep"), r: relabelToSuggestion, c: chooseClass, x: () => decide("exclude"), o: keepOne,
  s: () => decide("split_group"), m: chooseGroup, n: writeNote, u: undo, "?": showHelp,
};

document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === "s") { event.preventDefault(); save(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || at("dialog").open) return;
  if (event.target.closest("input:not([type=checkbox]), select, textarea")) { if (key === "escape") event.target.blur(); return; }
  const act = ACTS[key] || (/^[1-9]$/.test(key) && classes[Number(key) - 1] !== undefined ? () => chooseNth(Number(key) - 1) : null);
  if (!act) return;
  event.preventDefault();
  act();
});

function chooseNth(index) {
  const name = classes[index];
  decide("relabel", data.classes.includes(name) ? name : NEW_CLASS + name);
}

// A save may not have reached the project yet, or have been taken back there: the page cannot know which, so it asks.
function tellKept() {
  const count = store.rows.size, box = at("kept");
  if (!count) return;
  const forget = () => {
    if (current) undone.push({ before: store.snapshot(), item: current, chosen });
    store.forget();
    box.hidden = true;
    filter();
    say("Forgotten.");
  };
  box.replaceChildren(`${count === 1 ? "One decision" : `${count} decisions`} in this browser ${count === 1 ? "is" : "are"} not in the decisions.csv that this page was made from. Saving writes ${count === 1 ? "it" : "them"}. `,
    make("button", { type: "button", on: { click: forget } }, "Forget"));
  box.hidden = false;
}

function begin() {
  for (const [value, text] of [["all", "All"], ...Object.entries(KINDS)]) {
    if (value !== "all" && !data.items.some((item) => item.kind === value)) continue;
    at("kinds").append(make("button", { type: "button", value, on: { click: () => { kind = value; filter(); } } }, text + " ", make("span", { class: "n" })));
  }
  at("class").append(make("option", { value: "" }, "all"), ...data.classes.map((name) => make("option", { value: name }, name)));
  at("class").addEventListener("change", filter);
  at("open").addEventListener("change", filter);
  at("help").addEventListener("click", showHelp);
  at("save").addEventListener("click", save);
  try { at("reviewer").value = localStorage.getItem("automl-cnn-reviewer") || ""; } catch { /* not remembered here */ }
  at("reviewer").addEventListener("input", () => { try { localStorage.setItem("automl-cnn-reviewer", at("reviewer").value); } catch { /* nor kept */ } });
  window.addEventListener("beforeunload", (event) => { if (!store.saved && !store.keep()) event.preventDefault(); });
  new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting) && rendered < shown.length) renderChunk(); }, { rootMargin: "1500px" }).observe(at("end"));
  tellKept();
  filter();
  const open = shown.findIndex((item) => !stateOf(item));
  if (open > 0) go(open);
}

begin();
