// Sorts and filters the table of sessions. What is compared is what stands in the cells.
"use strict";
{
  const form = document.getElementById("filter");
  const table = document.getElementById("table");
  const heads = [...table.tHead.rows[0].cells];
  const [client, session, flags] = ["client", "session", "flags"].map((name) =>
    heads.findIndex((th) => th.classList.contains(name)),
  );
  const NOBODY = "–";
  const count = (n) => n.toLocaleString("en");
  const plain = (text) => text.normalize("NFKC").toLowerCase();

  let sessions = [...table.tBodies[0].rows].map((row, place) => {
    const cells = [...row.cells].map((cell) => cell.textContent.trim());
    const flagged = cells[flags] ? cells[flags].split("; ") : [];
    return { row, place, cells, flagged, text: plain(`${cells[client] ?? ""} ${cells[session]} ${cells[flags]}`) };
  });

  // --- sorting

  const natural = new Intl.Collator("en", { numeric: true });
  const keys = {
    place: (one) => one.place,
    text: (one, k) => one.cells[k],
    number: (one, k) => parseFloat(one.cells[k]),
  };

  function sort(k, descending) {
    const kind = heads[k].dataset.sort;
    const sign = descending ? -1 : 1;
    const by = kind === "text" ? natural.compare : (a, b) => a - b;
    sessions = sessions
      .map((one) => [keys[kind](one, k), one])
      // what has no rate comes last either way
      .sort(([a, one], [b, other]) =>
        Number.isNaN(a) - Number.isNaN(b) || sign * by(a, b) || one.place - other.place)
      .map(([, one]) => one);
    // rows move much faster while they are off the page
    const body = table.tBodies[0];
    body.remove();
    body.append(...sessions.map((one) => one.row));
    table.append(body);
    for (const th of heads) th.removeAttribute("aria-sort");
    heads[k].setAttribute("aria-sort", descending ? "descending" : "ascending");
    group();
  }

  // A client is named on the first of its rows that follow each other.
  function group() {
    let before;
    for (const { row, cells } of sessions) {
      if (row.hidden) continue;
      row.classList.toggle("first", client < 0 || cells[client] === NOBODY || cells[client] !== before);
      before = cells[client];
    }
  }

  heads.forEach((th, k) => {
    if (!th.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    th.append(button);
    button.addEventListener("click", () => {
      const now = th.getAttribute("aria-sort");
      // first the highest rates, and the first names
      sort(k, now ? now === "ascending" : th.dataset.sort === "number");
    });
  });
  heads[client < 0 ? session : client].setAttribute("aria-sort", "ascending");

  // --- filtering

  function filter() {
    const words = plain(form.text.value).split(/\s+/);
    const [who, flag, family] = [form.client, form.flag, form.family].map((field) => field?.value ?? "");
    const least = parseFloat(form.least.value);
    const rate = heads.findIndex((th) => th.dataset.family === family);
    let n = 0;
    for (const { row, cells, flagged, text } of sessions) {
      const fits =
        words.every((word) => text.includes(word)) &&
        (!who || cells[client] === who) &&
        (!flag || (flag === "none" ? !flagged.length : flagged.includes(flag))) &&
        (Number.isNaN(least) || parseFloat(cells[rate]) >= least);
      row.hidden = !fits;
      n += fits;
    }
    const all = `${count(sessions.length)} session${sessions.length === 1 ? "" : "s"}`;
    form.shown.value = n === sessions.length ? all : `${count(n)} of ${all}`;
    document.querySelector(".empty").hidden = n > 0;
    group();
  }

  function offer(field, values) {
    const told = new Map();
    for (const value of values) told.set(value, (told.get(value) ?? 0) + 1);
    field?.append(...[...told].map(([value, n]) => new Option(`\u2068${value}\u2069 (${count(n)})`, value)));
  }

  offer(form.client, sessions.map((one) => one.cells[client]));
  offer(form.flag, sessions.flatMap((one) => one.flagged));
  form.addEventListener("input", filter);
  // the fields are emptied after the event
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
}
