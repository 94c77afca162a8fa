"use strict";
// What the page does beyond being read: filter, search, step from marker to marker, correct, save and go on.
(() => {
  const $ = (query, root = document) => root.querySelector(query);
  const $$ = (query, root = document) => [...root.querySelectorAll(query)];
  const data = JSON.parse($("#data").textContent);
  // The transcript goes into the saved file as it stands here, so that not a digit of it changes.
  const raw = $("#session")?.textContent;
  const turns = raw ? JSON.parse(raw).turns : null;
  const known = new Map(data.known.map((m) => [m.id, m]));
  const nameOf = (id) => known.get(id)?.label ?? id.replaceAll("_", " ");
  const isMachine = (source) => !source.startsWith("coder:");
  const say = (text) => { $("#said").textContent = text; };

  // HTML reads NUL and carriage returns otherwise; every code point keeps its place (see _plain in session.py).
  const plain = (text) => text.replaceAll("\0", "\ufffd").replaceAll("\r", "\n");
  // Offsets count code points in the data and UTF-16 units in the page.
  const points = (text) => Array.from(text).length;
  const cut = (text, start, end) => Array.from(text).slice(start, end).join("");

  // One item for each marker found, in order, then one for each added here. `own` is what the coder makes of it.
  let items = data.markers.map((found) => ({ found, verdict: "", own: null }));
  const standing = (item) => item.own ?? item.found;
  let past = [];
  let unsaved = false;

  // --- what is shown ---------------------------------------------------------------------------------------

  function isShown(item) {
    const m = standing(item);
    if (!m) return false;
    const source = $("#only-source").value;
    return $(`.chip[data-family="${m.family}"]`).getAttribute("aria-pressed") === "true"
      && ["", m.marker].includes($("#only-marker").value)
      && ["", item.found?.source, item.own && "own"].includes(source)
      && (item.found?.score ?? 1) >= Number($("#least").value);
  }

  const cardOf = (number) => document.getElementById(`m${number}`);
  const shownCards = () => $$(".card:not([hidden])");

  function filter() {
    $("#least-said").textContent = Number($("#least").value).toFixed(2);
    const shown = items.map(isShown);
    for (const card of $$(".card")) card.hidden = !shown[card.dataset.m];
    for (const mark of $$("mark")) mark.classList.toggle("off", !shown[mark.dataset.m]);
    for (const chip of $$(".chip")) {
      const off = chip.getAttribute("aria-pressed") !== "true";
      for (const lane of $$(`.course [data-family="${chip.dataset.family}"]`)) lane.classList.toggle("off", off);
    }
    place();
  }

  function place() {
    const cards = shownCards();
    const at = cards.indexOf($(".card.current"));
    $("#place").textContent = at < 0 ? String(cards.length) : `${at + 1} of ${cards.length}`;
  }

  function go(card) {
    $(".card.current")?.classList.remove("current");
    for (const mark of $$("mark.current")) mark.classList.remove("current");
    if (!card) return;
    card.classList.add("current");
    for (const mark of $$(`mark[data-m="${card.dataset.m}"]`)) mark.classList.add("current");
    place();
  }

  function visit(card) {
    if (!card) return say("No marker is shown.");
    card.closest(".turn").scrollIntoView({ block: "center" });
    card.focus({ preventScroll: true });
    const box = card.getBoundingClientRect();
    if (box.bottom > innerHeight || box.top < 0) card.scrollIntoView({ block: "center" });
  }

  function step(by) {
    const cards = shownCards();
    const at = cards.indexOf($(".card.current"));
    if (at >= 0) return visit(cards[(at + by + cards.length) % cards.length]);
    // none yet: the first one from what is on the screen
    const ahead = cards.findIndex((card) => card.getBoundingClientRect().bottom > $("#tools").getBoundingClientRect().bottom);
    visit(by > 0 ? cards[Math.max(ahead, 0)] : cards[(ahead > 0 ? ahead : cards.length) - 1]);
  }

  // --- search ----------------------------------------------------------------------------------------------

  let hits = [];
  let hit = -1;

  function rangeOf({ turn, start, end }) {
    const range = document.createRange();
    const walker = document.createTreeWalker($(`#t${turn} .words`), NodeFilter.SHOW_TEXT);
    let before = 0;
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const after = before + node.length;
      if (start >= before && start < after) range.setStart(node, start - before);
      if (end > before && end <= after) { range.setEnd(node, end - before); break; }
      before = after;
    }
    return range;
  }

  function lightUp() {
    if (!globalThis.Highlight) return;
    const [all, one] = [new Highlight(), new Highlight()];
    hits.forEach((found, i) => (i === hit ? one : all).add(rangeOf(found)));
    CSS.highlights.set("hits", all);
    CSS.highlights.set("hit", one);
  }

  function search() {
    const query = $("#query").value.trim();
    const escaped = query.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&").replace(/\s+/g, "\\s+");
    hits = !query ? [] : turns.flatMap((turn) =>
      [...plain(turn.text).matchAll(new RegExp(escaped, "giu"))].map((m) => ({ turn: turn.index, start: m.index, end: m.index + m[0].length })));
    hit = -1;
    $("#hits").textContent = query ? String(hits.length) : "";
    lightUp();
  }

  function stepHit(by) {
    if (!hits.length) return say("No match.");
    hit = hit < 0 && by < 0 ? hits.length - 1 : (hit + by + hits.length) % hits.length;
    $("#hits").textContent = `${hit + 1} of ${hits.length}`;
    lightUp();
    document.getElementById(`t${hits[hit].turn}`).scrollIntoView({ block: "center" });
    say(`Match ${hit + 1} of ${hits.length}, turn ${hits[hit].turn}.`);
  }

  // --- correction ------------------------------------------------------------------------------------------

  const coderId = () => $("#coder-id").value.trim();
  const readTurns = () => ["#read-first", "#read-last"].map((id) => Math.min(Math.max(Math.trunc(Number($(id).value)) || 0, 0), turns.length - 1));
  // a coder's own earlier markers wait for a decision too; another coder's do not
  const waits = (item) => item.found && !item.verdict && (isMachine(item.found.source) || item.found.source === `coder:${coderId()}`);

  function undecided() {
    const [first, last] = readTurns();
    return items.flatMap((item, number) => (waits(item) && item.found.turn >= first && item.found.turn <= last ? [number] : []));
  }

  function paint(turn) {
    const text = Array.from(plain(turns[turn].text));
    const here = items.map((item, number) => ({ m: standing(item), item, number })).filter(({ m }) => m?.turn === turn);
    // the longest marker outermost, as in session.py
    here.sort((a, b) => (a.m.start - a.m.end) - (b.m.start - b.m.end) || a.number - b.number);
    const cuts = [...new Set([0, text.length, ...here.flatMap(({ m }) => [m.start, m.end])])].sort((a, b) => a - b);
    const current = $(".card.current")?.dataset.m;
    $(`#t${turn} .words`).replaceChildren(...cuts.slice(1).map((end, i) => {
      const start = cuts[i];
      return here.filter(({ m }) => m.start <= start && end <= m.end).reduceRight((inner, { m, item, number }) => {
        const mark = document.createElement("mark");
        mark.className = m.family;
        mark.classList.toggle("starts", m.start === start);
        mark.classList.toggle("rejected", item.verdict === "rejected");
        mark.classList.toggle("off", !isShown(item));
        mark.classList.toggle("current", String(number) === current);
        mark.dataset.m = number;
        mark.dataset.glyph = data.families[m.family].glyph;
        mark.append(inner);
        return mark;
      }, document.createTextNode(text.slice(start, end).join("")));
    }));
  }

  function label(card, m) {
    $(".name", card).textContent = nameOf(m.marker);
    $(".code", card).textContent = known.get(m.marker)?.code ?? "";
    $(".glyph", card).textContent = data.families[m.family].glyph;
    card.ariaLabel = `Turn ${m.turn}: ${data.families[m.family].label}, ${nameOf(m.marker)}`;
    $("q", card).textContent = cut(plain(turns[m.turn].text), m.start, m.end);
  }

  function deal(item, number) {
    let card = cardOf(number);
    if (!item.found && !item.own) return card?.remove();
    if (!card) {
      card = $("#new-card").content.firstElementChild.cloneNode(true);
      card.id = `m${number}`;
      card.dataset.m = number;
      $(`#t${item.own.turn} .cards`).append(card);
    }
    if (!$(".controls", card)) card.append($("#controls").content.cloneNode(true));
    // a card says what was found; an added marker's, what was added
    if (!item.found) label(card, item.own);
    const shown = item.found ?? item.own;
    card.className = `card ${shown.family} ${item.verdict}`;
    $("[data-do=accept]", card).hidden = !item.found;
    $("[data-do=accept]", card).ariaPressed = item.verdict === "accepted";
    $("[data-do=reject]", card).textContent = item.found ? "Reject" : "Remove";
    if (item.found) $("[data-do=reject]", card).ariaPressed = item.verdict === "rejected";
    $("[data-do=clarity]", card).value = item.own?.clarity ?? "";
    const told = [item.verdict === "changed" ? changed(item) : "", item.own?.note ? `Note: ${item.own.note}` : ""];
    $(".verdict", card).textContent = told.filter(Boolean).join(". ");
  }

  function changed({ found, own }) {
    const moved = found.start !== own.start || found.end !== own.end;
    const words = moved ? ` on “${cut(plain(turns[own.turn].text), own.start, own.end)}”` : "";
    return `Changed to ${data.families[own.family].glyph} ${nameOf(own.marker)}${words}`;
  }

  // Everything that correction shows, from `items`.
  function render() {
    const current = $(".card.current")?.dataset.m;
    $$(".card").filter((card) => !items[card.dataset.m]).forEach((card) => card.remove());
    items.forEach(deal);
    new Set(items.map((item) => standing(item)?.turn)).forEach((turn) => turn !== undefined && paint(turn));
    go(current && cardOf(current));
    tally();
    filter();
    lightUp();
  }

  function tally() {
    const open = undecided().length;
    $("#undecided").textContent = `${open} undecided`;
    $("#undecided").disabled = !open;
    $("#undo").disabled = !past.length;
  }

  const copied = () => items.map((item) => ({ ...item, own: item.own && { ...item.own } }));

  function change(number, into, what) {
    const turn = (standing(items[number] ?? into)).turn;
    past.push(copied());
    items[number] = { found: null, ...items[number], ...into };
    unsaved = true;
    deal(items[number], number);
    paint(turn);
    go(cardOf(number));
    tally();
    filter();
    lightUp();
    const m = standing(items[number]);
    say(`${what}${m ? `: ${nameOf(m.marker)}` : ""}, turn ${turn}. ${undecided().length} undecided.`);
  }

  function undo() {
    if (!past.length) return say("Nothing to undo.");
    const touched = new Set(items.map((item) => standing(item)?.turn));
    items = past.pop();
    unsaved = true;
    render();
    touched.forEach((turn) => turn !== undefined && paint(turn));
    say("Undone.");
  }

  const ownOf = ({ turn, start, end, family, marker, clarity, note, source }) =>
    ({ turn, start, end, family, marker, clarity, note: isMachine(source) ? null : note });

  function accept(number, clarity) {
    const { found, own, verdict } = items[number];
    if (own && clarity === undefined && verdict !== "changed") return say("Accepted already.");
    const mine = own && clarity !== undefined ? { ...own } : ownOf(found);
    if (clarity !== undefined) mine.clarity = clarity;
    const kept = own && clarity !== undefined ? verdict : "accepted";
    change(number, { own: mine, verdict: kept }, kept === "accepted" ? "Accepted" : "Clarity set");
  }

  function reject(number) {
    const { found, verdict } = items[number];
    if (verdict === "rejected") return say("Rejected already.");
    const turn = cardOf(number).closest(".turn");
    change(number, { own: null, verdict: found ? "rejected" : "removed" }, found ? "Rejected" : "Removed");
    if (!found) $(".who a", turn).focus();
  }

  function correcting(on) {
    document.body.classList.toggle("correcting", on);
    $("#coder").hidden = !on;
    $("#correct").ariaExpanded = on;
    if (!on) return;
    if (!$("#only-source option[value=own]")) {
      $("#only-source").append(new Option("my own", "own"));
      $$(".turn").forEach((turn, i) => {
        if (data.familiesOf[turns[i].role].length) $(".who", turn).append($("#new-turn-button").content.cloneNode(true));
      });
      render();
    }
  }

  // --- the form for a new or a changed marker --------------------------------------------------------------

  let edited = null;  // { number, turn }

  function edit(number, turn, start, end) {
    const item = items[number];
    const m = item ? item.own ?? item.found : { start, end, family: null, marker: null, clarity: null, note: null };
    const mine = item?.found && !item.own ? ownOf(m) : m;
    const text = plain(turns[turn].text);
    edited = { number, turn };
    $("#edit-title").textContent = item ? `Change the marker on turn ${turn}` : `Add a marker to turn ${turn}`;
    $("#edit-marker").replaceChildren(...data.familiesOf[turns[turn].role].map((family) => {
      const group = document.createElement("optgroup");
      group.label = data.families[family].label;
      group.append(...data.known.filter((k) => k.family === family).map((k) => new Option(`${k.code} ${k.label}`, k.id, false, k.id === m.marker)));
      return group;
    }));
    $("#edit-clarity").value = mine.clarity ?? "";
    $("#edit-note").value = mine.note ?? "";
    $("#edit-words").value = text;
    $("#edit").showModal();
    $("#edit-words").setSelectionRange(cut(text, 0, m.start).length, cut(text, 0, m.end).length);
    (item ? $("#edit-marker") : $("#edit-words")).focus();
    describe();
  }

  function describe() {
    const { selectionStart, selectionEnd, value } = $("#edit-words");
    $("#edit-selected").textContent = value.slice(selectionStart, selectionEnd);
    $("#edit-definition").textContent = known.get($("#edit-marker").value)?.definition ?? "";
  }

  function trimmed(text, start, end) {
    const words = text.slice(start, end);
    return [start + words.length - words.trimStart().length, end - words.length + words.trimEnd().length];
  }

  function done(event) {
    event.preventDefault();
    const { number, turn } = edited;
    const { value: text, selectionStart, selectionEnd } = $("#edit-words");
    const [start, end] = trimmed(text, selectionStart, selectionEnd);
    const marker = known.get($("#edit-marker").value);
    if (start >= end || !marker) return $("#edit-words").focus();
    const own = {
      turn, start: points(text.slice(0, start)), end: points(text.slice(0, end)), family: marker.family, marker: marker.id,
      clarity: Number($("#edit-clarity").value) || null, note: $("#edit-note").value.trim() || null,
    };
    const found = items[number]?.found;
    const same = found && ["start", "end", "marker"].every((key) => found[key] === own[key]);
    const verdict = same ? "accepted" : found ? "changed" : "added";
    $("#edit").close();
    change(number, { own, verdict }, verdict[0].toUpperCase() + verdict.slice(1));
    visit(cardOf(number));
  }

  // The words selected in one turn, in UTF-16 units; null where there are none, or of several turns.
  function selected() {
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    const [words, other] = [range.startContainer, range.endContainer].map((node) => (node.nodeType === 1 ? node : node.parentElement).closest(".words"));
    if (!words || words !== other) return null;
    const before = document.createRange();
    before.setStart(words, 0);
    before.setEnd(range.startContainer, range.startOffset);
    const from = before.toString().length;
    const [start, end] = trimmed(words.textContent, from, from + range.toString().length);
    if (start >= end) return null;
    return { turn: Number(words.closest(".turn").id.slice(1)), start, end, range };
  }

  function add(turn) {
    const words = selected();
    const at = words ?? (turn === null ? null : { turn, start: 0, end: plain(turns[turn].text).length });
    $("#add").hidden = true;
    if (!at) return say("Select words in one turn first.");
    if (!data.familiesOf[turns[at.turn].role].length) return say("Markers stand on the client’s and the therapist’s turns.");
    const text = plain(turns[at.turn].text);
    edit(items.length, at.turn, points(text.slice(0, at.start)), points(text.slice(0, at.end)));
  }

  function offer() {
    const words = document.body.classList.contains("correcting") && selected();
    $("#add").hidden = !words || !data.familiesOf[turns[words.turn].role].length;
    if ($("#add").hidden) return;
    const box = words.range.getBoundingClientRect();
    $("#add").style.left = `${Math.max(8, Math.min(box.left + scrollX, innerWidth - 150))}px`;
    $("#add").style.top = `${box.bottom + scrollY + 6}px`;
  }

  // --- saving, and going on another day --------------------------------------------------------------------

  // Runs of the turns that were read without those on which a marker of the family waits: not coded is not "none".
  function coded(source) {
    const [first, last] = readTurns();
    const open = undecided().map((number) => items[number].found);
    return Object.keys(data.families).flatMap((family) => {
      const holes = new Set(open.filter((m) => m.family === family).map((m) => m.turn));
      const runs = [];
      for (let turn = first; turn <= last; turn++) {
        if (holes.has(turn)) continue;
        if (runs.at(-1)?.last === turn - 1) runs.at(-1).last = turn;
        else runs.push({ source, family, first: turn, last: turn });
      }
      return runs;
    });
  }

  const whereabouts = (m) => [m.turn, m.start, m.end, m.family, m.marker];
  const key = (m) => JSON.stringify(whereabouts(m));

  function coding() {
    const source = `coder:${coderId()}`;
    const mine = new Map();
    for (const { own } of items) if (own && !mine.has(key(own))) mine.set(key(own), own);
    const given = [...mine.values()]
      .map(({ turn, start, end, family, marker, clarity, note }) => ({ turn, start, end, family, marker, score: null, clarity, source, rule_id: null, note }))
      .sort((a, b) => a.turn - b.turn || a.start - b.start || a.end - b.end || (key(a) < key(b) ? -1 : 1));
    const parts = coded(source);
    const counts = (m) => parts.some((c) => c.family === m.family && c.first <= m.turn && m.turn <= c.last);
    const markers = given.filter(counts);
    // what the markers alone do not tell, for the day when work goes on; one that is given where its family does not
    // count as coded would contradict `coded`
    const settings = {
      read: readTurns(),
      waiting: given.filter((m) => !counts(m)),
      rejected: items.filter((item) => item.verdict === "rejected").map(({ found }) => whereabouts(found)),
      changed: items.filter((item) => item.verdict === "changed").map(({ found, own }) => [whereabouts(found), whereabouts(own)]),
    };
    const provenance = { version: data.version, codebook: data.codebook, rules_sha256: null, model: null, model_sha256: null, thresholds: {}, settings };
    const rest = JSON.stringify({ markers, scores: [], episodes: [], coded: parts, provenance });
    return { line: `{"transcript":${raw},${rest.slice(1)}\n`, markers, waiting: settings.waiting };
  }

  const fileName = (text) => text.replace(/[\\/:*?"<>|\u0000-\u001f\u202a-\u202e\u2066-\u2069]/g, "_").replace(/^\.+|\.+$/g, "_");

  function save() {
    const { line, markers } = coding();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([line], { type: "application/x-ndjson" }));
    link.download = `${fileName(data.session)}.${fileName(coderId())}.jsonl`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    unsaved = false;
    say(`Saved ${markers.length} markers; ${undecided().length} undecided.`);
  }

  function askAndSave() {
    const [first, last] = readTurns();
    if (!coderId()) { $("#coder-id").focus(); return say("Give your coder’s id first."); }
    if (first > last) { $("#read-first").focus(); return say("The first turn read is after the last."); }
    const open = undecided().length;
    const waiting = coding().waiting.length;
    if (!open && !waiting) return save();
    const told = [];
    if (open) told.push(`${open} of the markers in the turns you read are undecided. Their families count as not coded on these turns, not as “none”.`);
    if (waiting) told.push(`${waiting} of your markers are on turns that do not count as coded. They are kept in the file, and count once these turns do.`);
    $("#ask-what").textContent = told.join(" ");
    $("#ask [value=first]").hidden = !open;
    $("#ask").returnValue = "";
    $("#ask").showModal();
  }

  function take(text) {
    const lines = text.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));
    const saved = lines.find((line) => line.transcript.id === data.session);
    if (!saved) return say("This file has nothing of this session.");
    const same = saved.transcript.turns.length === turns.length
      && saved.transcript.turns.every((turn, i) => turn.text === turns[i].text && turn.role === turns[i].role);
    if (!same) return say("This file is of another transcript of this session; its codes do not fit.");
    const sources = [...new Set([...saved.coded, ...saved.markers].map((part) => part.source))].filter((source) => !isMachine(source));
    const source = sources.includes(`coder:${coderId()}`) ? `coder:${coderId()}` : sources[0];
    if (!source) return say("This file has no coder’s work.");
    const settings = saved.provenance?.settings ?? {};
    const left = new Map([...saved.markers, ...(settings.waiting ?? [])].filter((m) => m.source === source).map((m) => [key(m), ownOf(m)]));
    const rejected = new Set((settings.rejected ?? []).map((where) => JSON.stringify(where)));
    const changes = new Map((settings.changed ?? []).map(([was, is]) => [JSON.stringify(was), JSON.stringify(is)]));
    // a file from elsewhere does not say what was rejected: what was coded and has not been kept
    const elsewhere = !settings.read;
    const went = (m) => saved.coded.some((c) => c.source === source && c.family === m.family && c.first <= m.turn && m.turn <= c.last);
    const taken = new Set();
    past.push(copied());
    items = data.markers.map((found) => {
      const is = changes.get(key(found)) ?? key(found);
      if (left.has(is) && !rejected.has(key(found))) {
        taken.add(is);
        return { found, own: { ...left.get(is) }, verdict: is === key(found) ? "accepted" : "changed" };
      }
      return { found, own: null, verdict: rejected.has(key(found)) || (elsewhere && isMachine(found.source) && went(found)) ? "rejected" : "" };
    });
    for (const [where, own] of left) if (!taken.has(where)) items.push({ found: null, own, verdict: "added" });
    const theirs = saved.coded.filter((c) => c.source === source);
    const [first, last] = settings.read ?? [Math.min(...theirs.map((c) => c.first)), Math.max(...theirs.map((c) => c.last))];
    $("#coder-id").value = source.slice("coder:".length);
    if (Number.isFinite(first)) [$("#read-first").value, $("#read-last").value] = [first, last];
    unsaved = false;
    render();
    say(`Opened the work of ${coderId()}: ${left.size} markers; ${undecided().length} undecided.`);
  }

  async function open(event) {
    const [file] = event.target.files;
    if (!file) return;
    try {
      take(await file.text());
    } catch {
      say("This file cannot be read as saved work; choose the .jsonl file that this page saved.");
    }
    event.target.value = "";
  }

  // --- who asks for what -----------------------------------------------------------------------------------

  const focused = () => {
    const card = document.activeElement?.closest(".card") ?? $(".card.current");
    return card && !card.hidden ? Number(card.dataset.m) : null;
  };

  function act(what, number) {
    if (!turns) return;
    if (what === "undo") return undo();
    if (!document.body.classList.contains("correcting")) correcting(true);
    if (what === "add") {
      const turn = document.activeElement?.closest(".turn") ?? $(".card.current")?.closest(".turn");
      return add(turn ? Number(turn.id.slice(1)) : null);
    }
    if (number === null) return say("Go to a marker first: n or p.");
    if (what === "accept") accept(number);
    if (what === "reject") reject(number);
    if (what === "edit") edit(number, standing(items[number]).turn);
    if (what >= "1" && what <= "3") accept(number, Number(what));
  }

  const KEYS = { a: "accept", r: "reject", e: "edit", m: "add", u: "undo", 1: "1", 2: "2", 3: "3" };

  document.addEventListener("keydown", (event) => {
    const field = event.target.closest?.("input:not([type=checkbox], [type=range]), textarea, select, dialog");
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || field || !$("#keys").checked) return;
    const pressed = event.key;
    if (pressed === "n" || pressed === "j") step(1);
    else if (pressed === "p" || pressed === "k") step(-1);
    else if (pressed === "?") $("#help").showModal();
    else if (pressed === "/" && turns) $("#query").focus();
    else if (pressed in KEYS) act(KEYS[pressed], focused());
    else return;
    event.preventDefault();
  });

  document.addEventListener("focusin", (event) => {
    const card = event.target.closest?.(".card");
    if (card) go(card);
  });

  $("#transcript").addEventListener("click", (event) => {
    const mark = event.target.closest("mark");
    const button = event.target.closest("button[data-do]");
    if (button?.dataset.do === "add") add(Number(button.closest(".turn").id.slice(1)));
    else if (button) act(button.dataset.do, Number(button.closest(".card").dataset.m));
    else if (mark && getSelection().isCollapsed) {
      // innermost first; one that is filtered out is passed over
      const shown = [...function* () { for (let at = mark; at; at = at.parentElement.closest("mark")) yield at; }()].find((at) => !at.classList.contains("off"));
      if (shown) cardOf(shown.dataset.m).focus();
    }
  });
  $("#transcript").addEventListener("change", (event) => {
    if (event.target.dataset.do === "clarity") accept(Number(event.target.closest(".card").dataset.m), Number(event.target.value) || null);
  });

  for (const chip of $$(".chip")) {
    chip.addEventListener("click", () => { chip.ariaPressed = chip.ariaPressed !== "true"; filter(); });
  }
  for (const id of ["#only-marker", "#only-source", "#least"]) $(id).addEventListener("input", filter);
  $("#next").addEventListener("click", () => step(1));
  $("#back").addEventListener("click", () => step(-1));
  $("#ask-help").addEventListener("click", () => $("#help").showModal());

  if (turns) {
    $("#query").addEventListener("input", search);
    $("#query").addEventListener("keydown", (event) => { if (event.key === "Enter") stepHit(event.shiftKey ? -1 : 1); });
    $("#hit-next").addEventListener("click", () => stepHit(1));
    $("#hit-back").addEventListener("click", () => stepHit(-1));
    $("#correct").addEventListener("click", () => correcting($("#coder").hidden));
    for (const id of ["#coder-id", "#read-first", "#read-last"]) $(id).addEventListener("input", tally);
    $("#undecided").addEventListener("click", () => {
      const open = undecided().filter((number) => !cardOf(number).hidden);
      const at = open.findIndex((number) => number > (focused() ?? -1));
      visit(cardOf(open[Math.max(at, 0)]));
    });
    $("#undo").addEventListener("click", undo);
    $("#save").addEventListener("click", askAndSave);
    $("#open").addEventListener("change", open);
    $("#add").addEventListener("pointerdown", (event) => event.preventDefault());  // the selection stays
    $("#add").addEventListener("click", () => add(null));
    document.addEventListener("selectionchange", offer);
    $("#edit form").addEventListener("submit", done);
    $("#edit-cancel").addEventListener("click", () => $("#edit").close());
    $("#edit-marker").addEventListener("input", describe);
    // a field with a caret, so that words can be selected by keyboard, in which nothing can be typed
    $("#edit-words").addEventListener("beforeinput", (event) => event.preventDefault());
    for (const kind of ["select", "keyup", "pointerup"]) $("#edit-words").addEventListener(kind, describe);
    $("#ask").addEventListener("close", () => {
      if ($("#ask").returnValue === "save") save();
      if ($("#ask").returnValue === "first") visit(cardOf(undecided()[0]));
    });
    addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
  }
  $("#tools").hidden = false;
  place();
})();
