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

class Store {
  constructor(data) {
    this.data = data;
    this.name = "automl-cnn-review:" + data.digest;
    this.rows = new Map(); // key → row decided here
    this.dropped = new Set(); // keys of decisions.csv that a newer decision contradicts
    this.saved = true;
    this.filed = new Map(data.decisions.map((row) => [keyOf(row.sha256, row.issue), row]));
    this.load();
  }

  load() {
    let kept = null;
    try { kept = JSON.parse(localStorage.getItem(this.name)); } catch { /* private mode, or not ours: begin anew */ }
    if (!kept || !Array.isArray(kept.rows)) return;
    for (const row of kept.rows) {
      const filed = this.filed.get(keyOf(row.sha256, row.issue));
      if (filed && filed.time >= row.time) continue; // saved since, perhaps by someone else
      this.rows.set(keyOf(row.sha256, row.issue), row);
    }
    this.dropped = new Set(kept.dropped || []);
    this.saved = Boolean(kept.saved) || this.rows.size === 0;
  }

  keep() {
    const text = JSON.stringify({ rows: [...this.rows.values()], dropped: [...this.dropped], saved: this.saved });
    try { localStorage.setItem(this.name, text); return true; } catch { return false; }
  }

  get(sha256, issue) { return this.rows.get(keyOf(sha256, issue)); }

  snapshot() { return { rows: new Map(this.rows), dropped: new Set(this.dropped) }; }

  restore(before) { this.rows = before.rows; this.dropped = before.dropped; this.saved = false; return this.keep(); }

  // Put rows in; what contradicts them of the same image goes out. Returns the rows that went.
  put(rows) {
    const gone = [];
    for (const row of rows) {
      for (const source of [this.rows, this.filed]) {
        for (const [key, other] of source) {
          if (other.sha256 !== row.sha256 || key === keyOf(row.sha256, row.issue) || !contradict(row, other)) continue;
          if (source === this.rows) { this.rows.delete(key); gone.push(other); }
          else if (!this.dropped.has(key)) { this.dropped.add(key); gone.push(other); }
        }
      }
      this.rows.delete(keyOf(row.sha256, row.issue)); // so that the newest stands last
      this.rows.set(keyOf(row.sha256, row.issue), row);
    }
    this.saved = false;
    this.keep();
    return gone;
  }

  remove(keys) { keys.forEach((key) => this.rows.delete(key)); this.saved = false; return this.keep(); }

  // Everything that decisions.csv is to hold: what it held, in its order, then what is new.
  merged() {
    const old = [...this.filed].filter(([key]) => !this.rows.has(key) && !this.dropped.has(key)).map(([, row]) => row);
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
