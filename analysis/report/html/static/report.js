"use strict";
// Completions are hostile text: they enter the document as textContent only, never as markup.

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const byId = (id) => document.getElementById(id);

// ---- light and dark

const theme = byId("theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
const showTheme = () => {
  theme.textContent = isDark() ? "Light" : "Dark";
  theme.setAttribute("aria-pressed", String(isDark()));
};
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
});
prefersDark.addEventListener("change", showTheme);
theme.hidden = false;
showTheme();

// ---- contents: the section in view

const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const here = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) links.get(entry.target.id)?.classList.toggle("here", entry.isIntersecting);
  },
  { rootMargin: "-20% 0px -70% 0px" },
);
document.querySelectorAll("main > section").forEach((section) => here.observe(section));

// ---- figures, enlarged: wheel and keys zoom, dragging and arrows move

const lightbox = byId("lightbox");
const stage = lightbox.querySelector(".stage");
const large = stage.querySelector("img");
const view = { scale: 1, x: 0, y: 0 };

const place = () => {
  large.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
};
const fit = () => {
  Object.assign(view, { scale: 1, x: 0, y: 0 });
  place();
};
// the point (x, y), relative to the middle of the stage, keeps its place
const zoom = (factor, x = 0, y = 0) => {
  const scale = Math.min(20, Math.max(1, view.scale * factor));
  const ratio = scale / view.scale;
  Object.assign(view, { scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio });
  if (scale === 1) fit();
  place();
};
const move = (x, y) => {
  view.x += x;
  view.y += y;
  place();
};

document.querySelectorAll("button.zoom").forEach((button) => {
  button.addEventListener("click", () => {
    const shown = [...button.querySelectorAll("img")].find((image) => image.offsetParent !== null);
    large.src = shown.src;
    large.alt = shown.alt;
    large.classList.toggle("on-white", !shown.matches(".light, .dark"));
    fit();
    lightbox.showModal();
  });
});
stage.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    const x = event.clientX - box.left - box.width / 2;
    const y = event.clientY - box.top - box.height / 2;
    zoom(Math.exp(-event.deltaY / 400), x, y);
  },
  { passive: false },
);
stage.addEventListener("pointerdown", (event) => stage.setPointerCapture(event.pointerId));
stage.addEventListener("pointermove", (event) => {
  if (stage.hasPointerCapture(event.pointerId)) move(event.movementX, event.movementY);
});
large.addEventListener("dragstart", (event) => event.preventDefault());
const zoomWords = { in: () => zoom(1.5), out: () => zoom(1 / 1.5), fit, close: () => lightbox.close() };
lightbox.querySelectorAll("[data-zoom]").forEach((button) => {
  button.addEventListener("click", zoomWords[button.dataset.zoom]);
});
// on the document: after a click on the figure the focus is outside the dialog
document.addEventListener("keydown", (event) => {
  if (!lightbox.open) return;
  const keys = {
    "+": zoomWords.in,
    "=": zoomWords.in,
    "-": zoomWords.out,
    0: fit,
    ArrowLeft: () => move(60, 0),
    ArrowRight: () => move(-60, 0),
    ArrowUp: () => move(0, 60),
    ArrowDown: () => move(0, -60),
  };
  if (event.key in keys && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    keys[event.key]();
  }
});

// ---- tables: a click on a head sorts the rows of each block

const sortKey = (cell) => {
  const text = (cell?.querySelector(".value") ?? cell)?.textContent.trim() ?? "";
  const plain = text.replaceAll(",", "").replace("−", "-");
  return /^[+-]?(\d|\.\d)/.test(plain) ? parseFloat(plain) : text;
};
// numbers before text; empty cells (–) last in both directions
const compare = (a, b, direction) => {
  const [emptyA, emptyB] = [a === "" || a === "–", b === "" || b === "–"];
  if (emptyA || emptyB) return emptyA - emptyB;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return direction * (typeof a === "number" ? a - b : a.localeCompare(b));
};
const sortBy = (table, heads, column) => {
  const direction = heads[column].getAttribute("aria-sort") === "descending" ? 1 : -1;
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  for (const body of table.tBodies) {
    const keyed = []; // a row's key, the row, and the rows that belong beneath it
    for (const row of body.rows) {
      if (row.classList.contains("beneath")) keyed.at(-1).push(row);
      else if (!row.classList.contains("block")) keyed.push([sortKey(row.cells[column]), row]);
    }
    keyed.sort(([a], [b]) => compare(a, b, direction));
    body.append(...keyed.flatMap(([, ...rows]) => rows));
  }
};
document.querySelectorAll("table.sortable").forEach((table) => {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    const button = element("button", { type: "button" }, ...head.childNodes);
    if (!button.textContent.trim()) button.ariaLabel = "name";
    button.addEventListener("click", () => sortBy(table, heads, column));
    head.append(button);
  });
});

// ---- completions

const data = JSON.parse(byId("data").textContent);
const filters = byId("filters");
const PER_PAGE = 20;
const everything = data.arm.map((_, i) => i);
const searchable = everything.map((i) => `${data.start[i]}\n${data.end[i]}`.toLowerCase());
let found = everything;
let first = 0;

// Invisible characters and characters that reverse the direction of text: the same list as embed.py
const INVISIBLE =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{d800}-\u{dfff}\u{e0000}-\u{e0fff}]/gu;
const codePoint = (c) => `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

// Pieces of a text: plain text, matches of the search (<mark>), and code points of invisible characters
const visible = (text) => {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(INVISIBLE)) {
    pieces.push(text.slice(end, match.index));
    pieces.push(element("span", { className: "invisible", textContent: codePoint(match[0]) }));
    end = match.index + match[0].length;
  }
  return [...pieces, text.slice(end)];
};
const marked = (text, wanted) => {
  if (!wanted) return visible(text);
  const pieces = [];
  const lower = text.toLowerCase();
  // a letter whose lower case is longer would misplace the marks
  if (lower.length !== text.length) return visible(text);
  let end = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, end)) {
    pieces.push(...visible(text.slice(end, at)));
    pieces.push(element("mark", {}, ...visible(text.slice(at, at + wanted.length))));
    end = at + wanted.length;
  }
  return [...pieces, ...visible(text.slice(end))];
};

const number = (value) => value.toLocaleString("en-GB");
const severalSeeds = new Set(data.seed.filter((seed) => seed !== null)).size > 1; // the base model has none
const line = (words) => element("bdi", {}, ...visible(words.filter(Boolean).join(" · ")));
const problemImages = (i) =>
  (data.pictures[i] ?? []).map((at) =>
    element("img", { className: "problem", src: data.images[at], alt: "image of the problem" }),
  );
const facts = (i) => {
  const outcome = element("span", { className: `outcome ${data.outcome[i]}`, textContent: data.outcome[i] });
  const prompt = element("button", { type: "button", className: "prompt", title: "only this prompt" });
  prompt.append(element("bdi", {}, ...visible(data.prompt[i])));
  prompt.addEventListener("click", () => {
    filters.elements.prompt.value = data.prompt[i];
    update();
  });
  const step = data.step[i] === null ? "" : `, step ${data.step[i]}`;
  const whose = line([
    data.arms[data.arm[i]],
    severalSeeds && data.seed[i] !== null && `seed ${data.seed[i]}`,
    data.sources[data.source[i]] + step,
  ]);
  const about = line([
    data.n_tokens[i] !== null && `${number(data.n_tokens[i])} tokens`,
    data.truncated[i] && "cut off",
    data.advantage[i] !== null && `advantage ${(Math.round(1000 * data.advantage[i]) / 1000).toFixed(3).replace("-", "−")}`,
    data.answer[i] !== null && `answer ${data.answer[i]}`,
  ]);
  return element("div", { className: "meta" }, element("span", {}, outcome, " ", prompt), whose, about, ...problemImages(i));
};
const card = (i, wanted) => {
  const text = element("pre", { dir: "auto" }, ...marked(data.start[i], wanted));
  if (data.left_out[i]) {
    const gap = `… ${number(data.left_out[i])} characters left out …`;
    text.append(element("span", { className: "gap", textContent: gap }), ...marked(data.end[i], wanted));
  }
  if (!data.start[i]) text.append(element("span", { className: "gap", textContent: "nothing" }));
  return element("li", {}, facts(i), text);
};

const chosen = () => Object.fromEntries(new FormData(filters));
const cellMatches = (wanted, [arm, seed, source]) =>
  (wanted.arm === "" || arm === Number(wanted.arm)) &&
  (wanted.seed === "" || String(seed) === wanted.seed) &&
  (wanted.source === "" || source === Number(wanted.source));
const matches = (wanted, text, i) =>
  cellMatches(wanted, [data.arm[i], data.seed[i], data.source[i]]) &&
  (wanted.step === "" || String(data.step[i]) === wanted.step) &&
  (wanted.outcome === "" || data.outcome[i] === wanted.outcome) &&
  (wanted.prompt === "" || data.prompt[i].includes(wanted.prompt)) &&
  (text === "" || searchable[i].includes(text));

const showPage = () => {
  const text = chosen().text.toLowerCase();
  const last = Math.min(first + PER_PAGE, found.length);
  byId("found").replaceChildren(...found.slice(first, last).map((i) => card(i, text)));
  byId("found").start = first + 1;
  byId("place").textContent = found.length ? `${number(first + 1)}–${number(last)} of ${number(found.length)}` : "";
  byId("previous").disabled = first === 0;
  byId("next").disabled = last >= found.length;
};
const update = () => {
  const wanted = chosen();
  const text = wanted.text.toLowerCase();
  found = everything.filter((i) => matches(wanted, text, i));
  first = 0;
  const cells = data.cells.filter((cell) => cellMatches(wanted, cell));
  const [recorded, shown] = [3, 4].map((at) => cells.reduce((sum, cell) => sum + cell[at], 0));
  byId("count").textContent =
    `${number(found.length)} found, among the ${number(shown)} shown of ${number(recorded)} recorded ` +
    "by the chosen arms, seeds and sources.";
  showPage();
};
const turn = (pages) => {
  first += pages * PER_PAGE;
  showPage();
  byId("count").scrollIntoView({ block: "start" });
};

const offer = (name, values, label = String) => {
  const select = filters.elements[name];
  select.append(...values.map((value) => element("option", { value: String(value), textContent: label(value) })));
  select.closest("label").hidden = values.length < 2;
};
const distinct = (values) => [...new Set(values)].filter((value) => value !== null);
const numerically = (a, b) => a - b;
offer("arm", [...data.arms.keys()], (i) => data.arms[i]);
offer("seed", distinct(data.seed).sort(numerically));
offer("source", [...data.sources.keys()], (i) => data.sources[i]);
offer("step", distinct(data.step).sort(numerically));
offer("outcome", ["right", "wrong", "invalid"].filter((word) => data.outcome.includes(word)));
byId("prompts").append(...distinct(data.prompt).sort().map((value) => element("option", { value })));

let waiting;
filters.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(update, 120);
});
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", () => setTimeout(update));
byId("previous").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));
if (everything.length) {
  filters.hidden = false;
  document.querySelector(".pager").hidden = false;
  update();
} else {
  byId("count").textContent = "No completion has been recorded yet.";
}
