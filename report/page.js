// What the page can do beyond being read: show and hide variants, sort and filter tables, copy and download, permalinks.
// It builds its own controls, so that without it nothing is there that does nothing. All state is in the address's
// fragment: #section?hide=a,b&sort=2.4.down&filter=2.kernel
"use strict";
(() => {
  const root = document.documentElement;
  const words = document.getElementById("words").dataset;
  const state = { hide: new Set(), sort: new Map(), filter: new Map() };
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function button(label, act, properties = {}) {
    const element = make("button", { type: "button", textContent: label, ...properties });
    element.addEventListener("click", act);
    return element;
  }

  // -------------------------------------------------------------------------------------------------------------------
  // The address

  function fragment() {
    const [anchor, query = ""] = location.hash.slice(1).split("?");
    return { anchor, query: new URLSearchParams(query) };
  }

  function remember() {
    const query = new URLSearchParams();
    if (state.hide.size) query.set("hide", [...state.hide].join(","));
    for (const [table, [column, direction]] of state.sort) query.append("sort", `${table}.${column}.${direction}`);
    for (const [table, text] of state.filter) query.append("filter", `${table}.${text}`);
    const rest = query.toString();
    history.replaceState(null, "", `#${fragment().anchor}${rest ? `?${rest}` : ""}`);
  }

  function recall() {
    const { query } = fragment();
    const known = new Set(all(".legend li").map((item) => item.dataset.variant));
    state.hide = new Set((query.get("hide") || "").split(",").filter((name) => known.has(name)));
    state.sort.clear();
    state.filter.clear();
    for (const text of query.getAll("sort")) {
      const [table, column, direction] = text.split(".");
      if (direction === "up" || direction === "down") state.sort.set(Number(table), [Number(column), direction]);
    }
    for (const text of query.getAll("filter")) {
      const dot = text.indexOf(".");
      state.filter.set(Number(text.slice(0, dot)), text.slice(dot + 1));
    }
  }

  function arrive() {
    let anchor = "";
    try { anchor = decodeURIComponent(fragment().anchor); } catch { /* a stray % in the address names no section */ }
    const target = document.getElementById(anchor);
    if (!target) return;
    for (let up = target; up; up = up.parentElement) {
      if (up.tagName === "DETAILS") up.open = true;
      if (up.classList.contains("convolution")) up.previousElementSibling.previousElementSibling.checked = true;
    }
    if (location.hash.includes("?")) target.scrollIntoView({ behavior: "instant" });
  }

  window.addEventListener("hashchange", () => {
    if (location.hash.includes("?")) {
      recall();
      apply();
    } else if (state.hide.size || state.sort.size || state.filter.size) {
      remember(); // a link inside the page keeps what was chosen
    }
    arrive();
  });

  // -------------------------------------------------------------------------------------------------------------------
  // Variants

  const followers = all("main [data-variant]");
  const chips = new Map();

  function showVariants() {
    for (const element of followers) element.classList.toggle("gone", state.hide.has(element.dataset.variant));
    for (const [name, chip] of chips) chip.setAttribute("aria-pressed", String(!state.hide.has(name)));
    reset.hidden = !state.hide.size;
  }

  for (const item of all(".legend li")) {
    const chip = button("", () => {
      const name = item.dataset.variant;
      if (!state.hide.delete(name)) state.hide.add(name);
      showVariants();
      remember();
    });
    chip.append(...item.childNodes);
    item.append(chip);
    chips.set(item.dataset.variant, chip);
  }
  const reset = button(words.all, () => {
    state.hide.clear();
    showVariants();
    remember();
  }, { className: "reset", hidden: true });
  document.querySelector(".choices").append(reset);
  document.querySelector(".legend").open = matchMedia("(min-width: 60rem)").matches;

  // -------------------------------------------------------------------------------------------------------------------
  // Tables

  const decimal = (1.5).toLocaleString(root.lang).charAt(1);
  const ignored = new RegExp(`[^0-9+\\-${decimal === "." ? "\\." : decimal}]`, "g");

  function value(text) {
    const found = text.replace(/\u2212/g, "-").match(/^[^0-9+-]{0,2}[+-]?\d[\d.,\u00a0\u202f]*/);
    return found ? parseFloat(found[0].replace(ignored, "").replace(decimal, ".")) : NaN;
  }

  function plain(cell) {
    if (!cell) return "";
    const copied = cell.cloneNode(true);
    for (const part of all(".hidden, .chosen-mark", copied)) part.remove();
    if (cell.closest(".matrix")) for (const part of all("small", copied)) part.remove(); // the count below the share
    for (const part of all("span, small, code", copied)) part.prepend(" ");
    return copied.textContent.replace(/[\u2068\u2069]/g, "").replace(/\s+/g, " ").trim();
  }
  const units = (table) => (table.tBodies.length > 1 ? [...table.tBodies] : [...table.tBodies[0].rows]);
  const firstRow = (unit) => (unit.rows ? unit.rows[0] : unit);

  function prepare(table, number) {
    const original = units(table);
    const place = table.tBodies.length > 1 ? table : table.tBodies[0];
    const sortable = original.length > 1 && !table.classList.contains("matrix") && !table.querySelector("tr.total");
    const heads = [...table.tHead.rows[0].cells];
    const tools = make("div", { className: "tools" });

    function arrange() {
      const [column, direction] = state.sort.get(number) || [];
      heads.forEach((head, index) => {
        if (index === column) head.setAttribute("aria-sort", direction === "up" ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      });
      let order = original;
      if (column !== undefined && heads[column]) {
        const texts = new Map(original.map((unit) => [unit, plain(firstRow(unit).cells[column])]));
        const numbers = new Map([...texts].map(([unit, text]) => [unit, value(text)]));
        const numeric = [...numbers.values()].filter((n) => !Number.isNaN(n)).length > original.length / 2;
        const sign = direction === "up" ? 1 : -1;
        order = [...original].sort((a, b) => {
          if (!numeric) return sign * texts.get(a).localeCompare(texts.get(b), root.lang, { numeric: true });
          const [x, y] = [numbers.get(a), numbers.get(b)];
          if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
          return sign * (x - y);
        });
      }
      place.append(...order);
      const wanted = (state.filter.get(number) || "").toLowerCase();
      let shown = 0;
      for (const unit of original) {
        const hit = !wanted || unit.textContent.toLowerCase().includes(wanted);
        unit.classList.toggle("filtered", !hit);
        shown += hit;
      }
      if (box) {
        if (box.value.toLowerCase() !== wanted) box.value = state.filter.get(number) || "";
        told.textContent = wanted
          ? words.shown.replace("{shown}", shown).replace("{all}", original.length) : "";
      }
    }

    if (sortable) {
      heads.forEach((head, index) => {
        const act = button("", () => {
          const [column, direction] = state.sort.get(number) || [];
          if (column !== index) state.sort.set(number, [index, head.classList.contains("number") ? "down" : "up"]);
          else if ((direction === "down") === head.classList.contains("number"))
            state.sort.set(number, [index, direction === "up" ? "down" : "up"]);
          else state.sort.delete(number);
          arrange();
          remember();
        }, { className: "sort" });
        act.append(...head.childNodes);
        head.append(act);
      });
    }
    let box = null;
    const told = make("span", { className: "told" });
    told.setAttribute("role", "status");
    if (sortable && original.length > 8) {
      box = make("input", { type: "search", placeholder: words.filter });
      box.setAttribute("aria-label", `${words.filter}: ${plain(table.caption)}`);
      box.addEventListener("input", () => {
        if (box.value) state.filter.set(number, box.value);
        else state.filter.delete(number);
        arrange();
        remember();
      });
      tools.append(box, told);
    }
    const formats = { CSV: csv, Markdown: markdown, LaTeX: latex };
    tools.append(make("span", { className: "what", textContent: words.copy }));
    for (const [name, write] of Object.entries(formats)) {
      tools.append(button(name, (event) => copy(write(content(table)), event.currentTarget)));
    }
    table.parentElement.before(tools);
    return arrange;
  }

  function content(table) {
    const rows = [[...table.tHead.rows[0].cells].map(plain)];
    for (const unit of units(table)) {
      if (unit.classList.contains("filtered") || unit.classList.contains("gone")) continue;
      rows.push([...firstRow(unit).cells].map(plain));
    }
    return rows;
  }

  // A text that a spreadsheet would take for a formula is copied with an apostrophe before it; numbers stay numbers.
  const inert = (text) => (/^'*\s*[=+\-@]/.test(text) && !/^[+-]?[\d.,]+$/.test(text) ? `'${text}` : text);
  const csv = (rows) => rows.map((row) => row.map(inert).map((text) =>
    /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text).join(",")).join("\n") + "\n";

  function markdown(rows) {
    const line = (row) => `| ${row.map((text) => text.replace(/[\\|<>*_`[\]]/g, "\\$&")).join(" | ")} |`;
    return [line(rows[0]), line(rows[0].map(() => "---")), ...rows.slice(1).map(line)].join("\n") + "\n";
  }

  function latex(rows) {
    const special = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
    const safe = (text) => text.replace(/[\\~^&%$#_{}]/g, (c) => special[c] || `\\${c}`)
      .replace(/\u2212/g, "$-$").replace(/±/g, "$\\pm$").replace(/×/g, "$\\times$");
    const line = (row) => `${row.map(safe).join(" & ")} \\\\`;
    const columns = `l${"r".repeat(rows[0].length - 1)}`;
    return [`\\begin{tabular}{${columns}}`, "\\toprule", line(rows[0]), "\\midrule",
      ...rows.slice(1).map(line), "\\bottomrule", "\\end{tabular}"].join("\n") + "\n";
  }

  async function copy(text, from) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", { value: text, className: "hidden" });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const label = from.textContent;
    from.textContent = words.copied;
    setTimeout(() => { from.textContent = label; }, 1200);
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Figures

  function download(text, kind, name) {
    const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function standalone(svg) {
    const copied = svg.cloneNode(true);
    for (const part of all(".gone", copied)) part.remove();
    for (const part of all("[data-note]", copied)) {
      const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      title.textContent = part.dataset.note;
      part.prepend(title);
      delete part.dataset.note;
    }
    copied.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    return new XMLSerializer().serializeToString(copied);
  }

  function parsed(text) {
    const rows = [[""]];
    let quoted = false;
    for (let i = 0; i < text.length; i += 1) {
      const c = text[i];
      const row = rows[rows.length - 1];
      if (quoted && c === '"' && text[i + 1] === '"') { row[row.length - 1] += '"'; i += 1; }
      else if (c === '"') quoted = !quoted;
      else if (c === "," && !quoted) row.push("");
      else if (c === "\n" && !quoted) rows.push([""]);
      else row[row.length - 1] += c;
    }
    return rows.filter((row) => row.length > 1 || row[0]);
  }

  function numbersTable(text, caption) {
    const [names, ...rows] = parsed(text);
    const short = (cell) => (/^-?\d+\.\d{5,}(e-?\d+)?$/.test(cell) ? String(Number(Number(cell).toPrecision(5))) : cell);
    const shown = (cell) => (/^'+\s*[=+\-@\t]/.test(cell) ? cell.slice(1) : cell); // the file has it for spreadsheets
    const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col", textContent: shown(name) })));
    const body = rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", { textContent: short(shown(cell)) }))));
    const table = make("table", {}, make("caption", {}, make("span", { textContent: caption })),
      make("thead", {}, head), make("tbody", {}, ...body));
    const frame = make("div", { className: "scroll numbers", tabIndex: 0 }, table);
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", caption);
    return frame;
  }

  for (const figure of all("figure")) {
    const tools = make("div", { className: "tools" });
    const { name } = figure.dataset;
    const title = plain(figure.querySelector("figcaption > strong")).replace(/\.$/, "");
    const numbers = figure.querySelector("template");
    const svg = figure.querySelector("svg.chart");
    const grid = figure.querySelector(".tiles");
    if (numbers) {
      const text = numbers.content.textContent;
      const toggle = button(words.numbers, () => {
        const open = toggle.getAttribute("aria-expanded") === "true";
        toggle.setAttribute("aria-expanded", String(!open));
        if (open) figure.querySelector(".numbers").remove();
        else figure.append(numbersTable(text, `${words.numbers}: ${title}`));
      });
      toggle.setAttribute("aria-expanded", "false");
      toggle.setAttribute("aria-label", `${words.numbers}: ${title}`);
      tools.append(toggle, button("CSV", () => download(text, "text/csv", `${name}.csv`),
        { ariaLabel: `${words.download} CSV: ${title}` }));
    }
    if (svg) {
      tools.append(button("SVG", () => download(standalone(svg), "image/svg+xml", `${name}.svg`),
        { ariaLabel: `${words.download} SVG: ${title}` }));
    } else if (grid) {
      const source = grid.style.getPropertyValue("--sprite").replace(/^url\(["']?|["']?\)$/g, "");
      tools.append(button("PNG", () => make("a", { href: source, download: `${name}.png` }).click(),
        { ariaLabel: `${words.download} PNG: ${title}` }));
    }
    if (tools.childNodes.length) figure.querySelector("figcaption").append(tools);
    const reading = figure.querySelector(".reading");
    if (reading && getComputedStyle(figure).display === "grid") reading.open = true; // there is room beside the figure
  }

  for (const plate of all(".plate")) if (plate.scrollWidth > plate.clientWidth) plate.tabIndex = 0;

  // What a point stands for: the browser's own titles are slow, so they become notes that follow the pointer.
  for (const title of all(".mark title, .diagram rect title")) {
    title.parentElement.dataset.note = title.textContent;
    title.remove();
  }
  const tip = make("div", { className: "tip", hidden: true });
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  document.addEventListener("pointermove", (event) => {
    const part = event.target.closest && event.target.closest("[data-note]");
    tip.hidden = !part;
    if (!part) return;
    tip.textContent = part.dataset.note;
    const { width, height } = tip.getBoundingClientRect();
    const x = Math.min(Math.max(event.clientX + 14, 8), innerWidth - width - 8);
    const y = event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18;
    tip.style.transform = `translate(${x}px, ${y}px)`;
  });

  // -------------------------------------------------------------------------------------------------------------------
  // Links, theme, print

  for (const head of all("main h2, main h3")) {
    const named = head.id ? head : head.closest("[id]");
    if (!named || head.querySelector("a") || (named !== head && named.querySelector("h2, h3") !== head)) continue;
    const id = named.tagName === "H2" || named.tagName === "H3" ? head.closest("section[id]").id : named.id;
    head.append(make("a", { className: "anchor", href: `#${id}`, textContent: "#", ariaLabel: words.link }));
  }

  const themes = ["auto", "light", "dark"];
  function setTheme(name) {
    if (name === "auto") delete root.dataset.theme;
    else root.dataset.theme = name;
    theme.textContent = `${words.theme}: ${words[name]}`;
    theme.dataset.theme = name;
  }
  const theme = button("", () => {
    const next = themes[(themes.indexOf(theme.dataset.theme) + 1) % themes.length];
    setTheme(next);
    try { localStorage.setItem("convlab-theme", next); } catch { /* private mode: it lasts as long as the page */ }
  }, { className: "theme" });
  document.querySelector(".choices").append(theme);
  let chosen = "auto";
  try { chosen = localStorage.getItem("convlab-theme") || "auto"; } catch { /* see above */ }
  setTheme(themes.includes(chosen) ? chosen : "auto");

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = all("main details:not([open])").filter((part) => !part.closest("table"));
    for (const part of closed) part.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const part of closed) part.open = false;
  });

  const links = new Map(all("nav > ol > li > a").map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target.id);
    const current = [...links.keys()].find((id) => seen.has(id));
    for (const [id, link] of links) {
      if (id === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-10% 0px -60% 0px" });
  for (const id of links.keys()) if (document.getElementById(id)) watch.observe(document.getElementById(id));

  // -------------------------------------------------------------------------------------------------------------------

  const arrangements = all("main table").map(prepare);
  function apply() {
    showVariants();
    for (const arrange of arrangements) arrange();
  }
  recall();
  apply();
  arrive();
  root.dataset.ready = "true";
})();
