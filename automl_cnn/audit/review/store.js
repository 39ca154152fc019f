"use strict";
// What has been decided: kept in the browser until it is saved, and put over what decisions.csv held.

const COLUMNS = ["sha256", "issue", "decision", "new_label", "reviewer", "time", "note", "score_seen", "label_seen"];
const NEW_CLASS = "new:";

function keyOf(sha256, issue) { return sha256 + "\u0000" + issue; }

// What a decision says of an image; two that say different things of the same contradict each other.
// The same rule stands in automl_cnn/audit/decisions.py.
function claimsOf(row) {
  const claims = {}, whole = !row.issue;
  if (row.decision === "exclude") claims.use = "no";
  else if (["relabel", "keep_one"].includes(row.decision) || (row.decision === "keep" && whole)) claims.use = "yes";
  if (row.decision === "relabel" || (row.decision === "keep_one" && row.new_label)) {
    claims.label = row.new_label.startsWith(NEW_CLASS) ? row.new_label.slice(NEW_CLASS.length) : row.new_label;
  } else if (row.decision === "keep" && (whole || row.issue === "suspect_label")) claims.label = "";
  if (["keep_one", "split_group"].includes(row.decision)) claims.copy = row.decision;
  return claims;
}

function contradict(one, other) {
  const a = claimsOf(one), b = claimsOf(other);
  return Object.keys(a).some((what) => what in b && a[what] !== b[what]);
}

function byImage(rows) {
  const of = new Map();
  for (const row of rows) of.set(row.sha256, [...(of.get(row.sha256) || []), row]);
  return of;
}

// A time without a zone is UTC, as decisions.py takes it; no time is older than any.
function when(row) { return Date.parse(/(z|[+-]\d\d(:?\d\d)?)$/i.test(row.time.slice(10)) ? row.time : row.time + "Z") || 0; }

class Store {
  constructor(data) {
    this.data = data;
    this.name = "automl-cnn-review:" + location.pathname.replace(/\/(audit\/)?[^/]*$/, ""); // both pages of a project
    this.rows = new Map(); // key → row decided here
    this.written = new Set(); // keys of those that were saved as they stand
    this.elsewhere = []; // rows about images that are not of this set, perhaps not any more
    this.saved = true;
    this.filed = new Map(data.decisions.map((row) => [keyOf(row.sha256, row.issue), row]));
    this.filedOf = byImage(data.decisions);
    this.load();
  }

  // What the file says later than this browser stands. Once a save has reached the file, the file alone says what of
  // it is still in force: what was taken out there does not come back.
  load() {
    let kept = null;
    try { kept = JSON.parse(localStorage.getItem(this.name)); } catch { /* private mode, or not ours: begin anew */ }
    if (!kept || !Array.isArray(kept.rows)) return;
    const present = new Set(this.data.hashes.match(/.{8}/g)), written = new Set(kept.written || []);
    const arrived = kept.rows.some((row) => {
      const key = keyOf(row.sha256, row.issue);
      return written.has(key) && this.filed.has(key) && when(this.filed.get(key)) === when(row);
    });
    for (const row of kept.rows) {
      const key = keyOf(row.sha256, row.issue);
      if (arrived && written.has(key)) continue;
      if (written.has(key)) this.written.add(key);
      if (!present.has(row.sha256.slice(0, 8))) { this.elsewhere.push(row); continue; }
      if (this.filed.has(key) && when(this.filed.get(key)) >= when(row)) continue; // saved since, perhaps by another
      if (this.filedOn(row).some((other) => contradict(row, other) && when(other) > when(row))) continue;
      this.rows.set(key, row);
    }
    this.saved = Boolean(kept.saved) || this.rows.size === 0;
  }

  keep() {
    const rows = [...this.rows.values(), ...this.elsewhere];
    const text = JSON.stringify({ rows, written: [...this.written], saved: this.saved });
    try { localStorage.setItem(this.name, text); return true; } catch { return false; }
  }

  get(sha256, issue) { return this.rows.get(keyOf(sha256, issue)); }

  // Rows of decisions.csv about the same image.
  filedOn(row) { return this.filedOf.get(row.sha256) || []; }

  snapshot() { return new Map(this.rows); }

  restore(before) {
    for (const key of this.written) if (before.get(key) !== this.rows.get(key)) this.written.delete(key);
    this.rows = before;
    return this.changed();
  }

  changed() { this.saved = false; return this.keep(); }

  markSaved() {
    for (const key of this.rows.keys()) this.written.add(key);
    this.saved = true;
    return this.keep();
  }

  forget() {
    this.rows = new Map();
    this.saved = true;
    return this.keep();
  }

  // Put rows in; what contradicts them of the same image goes out. Returns the rows that went.
  put(rows) {
    const gone = [];
    for (const row of rows) {
      const own = keyOf(row.sha256, row.issue);
      gone.push(...this.filedOn(row).filter((other) => keyOf(other.sha256, other.issue) !== own
        && contradict(row, other) && !this.overrides(other)));
      for (const [key, other] of this.rows) {
        if (other.sha256 === row.sha256 && key !== own && contradict(row, other)) { this.rows.delete(key); gone.push(other); }
      }
      const earlier = this.rows.get(own) || this.filed.get(own);
      const again = earlier && earlier.decision === row.decision && earlier.new_label === row.new_label;
      if (earlier && earlier.decision === "merge_group" && !again) gone.push(earlier);
      this.rows.delete(own); // so that the newest stands last
      this.written.delete(own);
      this.rows.set(own, row);
    }
    this.changed();
    return gone;
  }

  remove(keys) { keys.forEach((key) => this.rows.delete(key)); return this.changed(); }

  // Whether what was decided here takes the place of a row of decisions.csv.
  overrides(filed, rows = this.rows.values()) {
    for (const row of rows) {
      if (row.sha256 === filed.sha256 && (row.issue === filed.issue || contradict(row, filed))) return true;
    }
    return false;
  }

  // Everything that decisions.csv is to hold: what it held, in its order, then what is new.
  merged() {
    const here = byImage(this.rows.values());
    const old = [...this.filed.values()].filter((row) => !this.overrides(row, here.get(row.sha256) || []));
    return [...old, ...this.rows.values()];
  }

  csv() {
    const columns = [...COLUMNS, ...this.data.own_columns];
    const rows = this.merged().map((row) => columns.map((name) => cell(name, row[name] || "")).join(","));
    const decided = [...this.rows.values()].map((row) => row.sha256 + "," + row.issue + ",");
    const unread = this.data.unread.filter((line) => !decided.some((start) => line.startsWith(start)));
    return [columns.map((name) => cell("", name)).join(","), ...rows, ...unread].join("\n") + "\n";
  }

  // Of the last fifty decisions on suspected labels, how many found a wrong one.
  precision() {
    const here = [...this.rows.values()].filter((row) => row.issue === "suspect_label" && ["keep", "relabel", "exclude"].includes(row.decision));
    const anew = new Set(here.map((row) => row.sha256));
    const past = this.data.history.filter((entry) => !anew.has(entry.sha256));
    const hits = [...past.map((entry) => entry.hit), ...here.map((row) => row.decision !== "keep")].slice(-this.data.last);
    const found = hits.filter(Boolean).length;
    return { counted: hits.length, found, stop: hits.length === this.data.last && found / hits.length < this.data.stop_below };
  }
}

// A cell that no spreadsheet takes for a formula; read back by automl_cnn/audit/csv_records.py.
function cell(column, value) {
  let text = String(value);
  if (column !== "score_seen" && /^'*[=+\-@\t\r]/.test(text)) text = "'" + text;
  return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}
