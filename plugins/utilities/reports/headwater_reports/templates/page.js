// Shows what the warehouse has summed up: picks the rows of the chosen filters, and adds nothing up.
"use strict";

const content = JSON.parse(document.getElementById("content").textContent);
const STALE_HOURS = 26;
const ALL = "all";
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September",
  "October", "November", "December"];

// Values, as people read them. An exact decimal arrives as text, and stays text but in charts.

function grouped(text) {
  const [whole, fraction] = String(text).split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (fraction ? "." + fraction : "");
}

function compact(value) {
  return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: Math.abs(value) < 1e3 ? 2 : 1 })
    .format(value);
}

function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}

function periodName(period) {
  const [year, part, day] = period.split("-");
  if (period === ALL) return "All time";
  if (!part) return year;
  if (part.startsWith("Q")) return `${part} ${year}`;
  return `${day ? Number(day) + " " : ""}${MONTHS[part - 1]} ${year}`;
}

function shortDay(text) {
  return `${Number(text.slice(8, 10))} ${MONTHS[text.slice(5, 7) - 1].slice(0, 3)} ${text.slice(0, 4)}`;
}

function timeName(text) {
  return text ? `${periodName(text.slice(0, 10))}, ${text.slice(11, 16)}` : "never";
}

function choiceName(column, value) {
  if (column === "period") return periodName(value);
  if (value === ALL) return "All";
  return column === "currency_code" ? value : value.charAt(0).toUpperCase() + value.slice(1).toLowerCase();
}

const SHOWN = {
  text: String,
  key: (value) => String(value).slice(0, 8),
  period: periodName,
  day: periodName,
  time: timeName,
  count: grouped,
  number: (value) => grouped(Number(Number(value).toFixed(2))),
  amount: grouped,
  ratio: percent,
  seconds: (value) => `${grouped(Number(value).toFixed(1))} s`,
};
const FIGURES = new Set(["count", "number", "amount", "ratio", "seconds"]);

function shown(column, value) {
  return value === null ? "–" : SHOWN[content.columns[column].unit](value);
}

function element(name, text, attributes = {}) {
  const made = Object.assign(document.createElement(name), attributes);
  if (text !== undefined) made.textContent = text;
  return made;
}

// The rows of a view: as it was embedded, compressed, column by column.

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function unpack(packed) {
  if (!packed) return null;
  const columns = Object.entries(packed.columns).map(([name, column]) =>
    [name, Array.isArray(column) ? (row) => column[row] : (row) => column.values[column.codes[row]]]);
  return Array.from({ length: packed.rows }, (_, row) =>
    Object.fromEntries(columns.map(([name, value]) => [name, value(row)])));
}

async function startPage() {
  const packed = await inflate(content.views);
  const views = Object.fromEntries(Object.entries(packed).map(([name, view]) => [name, unpack(view)]));
  const filters = Object.keys(content.filters);
  const selects = Object.fromEntries(filters.map((column) => [column, document.querySelector(`select[name=${column}]`)]));
  const chosen = {};

  const headline = views[content.headline.view];

  function choices(column) {
    const rows = Object.values(views).filter(Boolean).flat();
    const count = new Map();
    for (const row of rows) count.set(row[column], (count.get(row[column]) || 0) + 1);
    const values = [...count.keys()];
    if (column === "period") {
      const rank = (period) => (period === ALL ? 0 : period.includes("Q") ? 2 : period.length === 4 ? 1 : 3);
      return values.filter((period) => period.length < 10)
        .sort((a, b) => rank(a) - rank(b) || (a < b ? 1 : -1));
    }
    const opens = content.opens[column];
    return values.sort((a, b) => (b === opens) - (a === opens) || count.get(b) - count.get(a));
  }

  function fill(column) {
    const select = selects[column];
    const groups = { 0: "", 4: "Years", 7: "Quarters and months" };
    let group = select;
    for (const value of choices(column)) {
      const title = column !== "period" || value === ALL ? "" : value.length === 4 ? "Years" : value.includes("Q") ? "Quarters" : "Months";
      if (title && group.label !== title) select.append(group = element("optgroup", undefined, { label: title }));
      group.append(element("option", choiceName(column, value), { value }));
    }
    const asked = new URLSearchParams(location.hash.slice(1)).get(column);
    if (asked && [...select.options].some((option) => option.value === asked)) select.value = asked;
    select.disabled = select.options.length < 2;
    select.parentElement.hidden = !select.options.length;
  }

  // Whether a day or a month is a part of the chosen period: days of months and quarters, else months.
  function isPart(period, whole, grain) {
    const days = (whole.length === 7 && grain !== "month");
    if (period.length !== (days ? 10 : 7) || period.includes("Q")) return false;
    if (whole === ALL || !whole.includes("Q")) return whole === ALL || period.startsWith(whole);
    return period.startsWith(whole.slice(0, 4)) && Math.ceil(Number(period.slice(5, 7)) / 3) === Number(whole.slice(6));
  }

  function rowsOf(panel) {
    const rows = views[panel.view].filter((row) => filters.every((column) => {
      const value = row[column];
      if (panel.split !== column) return value === chosen[column];
      if (column === "period") return isPart(value, chosen.period, panel.grain);
      return chosen[column] === ALL ? value !== ALL : value === chosen[column];
    }));
    for (const name of [...(panel.sort || [])].reverse()) {
      const [column, sign] = name.startsWith("-") ? [name.slice(1), -1] : [name, 1];
      const value = FIGURES.has(content.columns[column].unit) ? (row) => Number(row[column]) : (row) => row[column];
      rows.sort((a, b) => (value(a) < value(b) ? -sign : value(a) > value(b) ? sign : 0));
    }
    return rows;
  }

  function previous(period) {
    const same = [...selects.period.options].map((option) => option.value)
      .filter((value) => value.length === period.length && value.includes("Q") === period.includes("Q"));
    return same[same.indexOf(period) + 1];
  }

  function headlineRow(period) {
    return (headline || []).find((row) => filters.every((column) =>
      row[column] === (column === "period" ? period : chosen[column])));
  }

  function showHeadline() {
    const row = headlineRow(chosen.period);
    const before = chosen.period && chosen.period !== ALL && headlineRow(previous(chosen.period));
    for (const { column } of content.headline.numbers) {
      const card = document.querySelector(`.number[data-column=${column}]`);
      const { unit } = content.columns[column];
      const value = row ? row[column] : null;
      const [big, exact, change] = card.querySelectorAll("strong, .exact, .change");
      const isLarge = value !== null && (unit === "amount" || unit === "count") && Math.abs(Number(value)) >= 1e4;
      const isTime = value !== null && unit === "time";
      big.textContent = isLarge ? compact(Number(value)) : isTime ? shortDay(value) : shown(column, value);
      exact.textContent = isTime ? `${value.slice(11, 16)} UTC` : isLarge || (value !== null && unit === "amount") ? shown(column, value) : "";
      card.querySelector(".unit").textContent = unit === "amount" && chosen.currency_code ? chosen.currency_code : "";
      change.textContent = before && value !== null && before[column] !== null
        ? changed(unit, Number(value), Number(before[column])) : "";
      card.dataset.unit = unit;
      card.dataset.value = value === null ? "" : value;
    }
  }

  function changed(unit, value, before) {
    const against = `on ${periodName(previous(chosen.period))}`;
    if (!FIGURES.has(unit) || (unit !== "ratio" && before === 0)) return "";
    const by = unit === "ratio" ? 100 * (value - before) : 100 * (value / before - 1);
    const arrow = by > 0.05 ? "▲" : by < -0.05 ? "▼" : "＝";
    return `${arrow} ${Math.abs(by).toFixed(1)} ${unit === "ratio" ? "points" : "%"} ${against}`;
  }

  function csv(panel, rows) {
    const names = [...new Set([...filters, ...panel.columns])];
    const cell = (value) => (/[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
    const lines = [names, ...rows.map((row) => names.map((name) => (row[name] === null ? "" : row[name])))];
    return lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
  }

  function table(panel, rows) {
    const made = element("table");
    made.append(element("caption", `${selection()}: ${grouped(rows.length)} rows`));
    const isFigure = (name) => FIGURES.has(content.columns[name].unit);
    const head = made.createTHead().insertRow();
    for (const name of panel.columns) {
      head.append(element("th", content.columns[name].label, { scope: "col", className: isFigure(name) ? "figure" : "" }));
    }
    const body = made.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      for (const name of panel.columns) {
        line.append(element("td", shown(name, row[name]), { className: isFigure(name) ? "figure" : "" }));
      }
    }
    return made;
  }

  function selection() {
    return filters.filter((column) => selects[column].options.length)
      .map((column) => `${content.filters[column]}: ${choiceName(column, chosen[column])}`).join(", ");
  }

  // What a chart takes: numbers and times.
  function drawn(row) {
    return Object.fromEntries(Object.entries(row).map(([name, value]) => {
      const unit = content.columns[name] && content.columns[name].unit;
      if (value === null) return [name, null];
      if (FIGURES.has(unit)) return [name, Number(value)];
      if (unit === "period" || unit === "day" || unit === "time") return [name, Date.parse(value)];
      return [name, value];
    }));
  }

  const tip = document.body.appendChild(element("div", undefined, { className: "tip", hidden: true }));

  function showTip(panel, event, item) {
    const row = item && item.datum && (item.datum.source || panel.rows[item.datum.place]);
    tip.hidden = !row;
    if (!row) return;
    tip.replaceChildren(...panel.columns.map((name) => {
      const line = element("div");
      line.append(element("span", content.columns[name].label), element("span", shown(name, row[name])));
      return line;
    }));
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.max(8, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
  }

  function startPanel(panel) {
    const section = document.getElementById(panel.id);
    const [nothing, chart, behind, pick] = [".nothing", ".chart", ".behind", ".pick select"].map((part) => section.querySelector(part));
    const details = section.querySelector("details");
    let view;

    async function show() {
      let rows = views[panel.view] ? rowsOf(panel) : [];
      if (pick) {
        const values = [...new Set(rows.map((row) => row[panel.pick]))].sort();
        pick.parentElement.hidden = !values.length;
        const kept = values.includes(pick.value) ? pick.value : values[0];
        pick.replaceChildren(...values.map((value) => element("option", value, { value })));
        pick.value = kept;
        rows = rows.filter((row) => row[panel.pick] === kept);
      }
      panel.rows = rows;
      nothing.hidden = rows.length > 0;
      chart.hidden = behind.hidden = rows.length === 0;
      nothing.textContent = views[panel.view]
        ? panel.empty || (selection() ? `Nothing for ${selection()}.` : "There is no data yet.")
        : `The report ${panel.view} has not been built: make run builds it.`;
      section.querySelector(".unit").textContent = panel.has_amounts && chosen.currency_code ? chosen.currency_code : "";
      if (details.open) section.querySelector(".scroll").replaceChildren(table(panel, rows));
      if (!rows.length) return;
      const values = rows.map((row, place) => ({ ...drawn(row), place }));
      const alt = `${panel.title}. ${selection()}. ${rows.length} rows, in the table below the chart.`;
      if (view) {
        await view.description(alt).data("rows", values).runAsync();
        return;
      }
      panel.chart.data.find((data) => data.name === "rows").values = values;
      panel.chart.description = alt;
      ({ view } = await vegaEmbed(chart, panel.chart, {
        mode: "vega", renderer: "svg", actions: false, expressionFunctions: { compact },
        tooltip: (_, event, item, value) => showTip(panel, event, value === null ? null : item),
      }));
    }

    details.addEventListener("toggle", () => {
      if (details.open) section.querySelector(".scroll").replaceChildren(table(panel, panel.rows));
    });
    section.querySelector(".csv").addEventListener("click", () => {
      const slug = panel.title.toLowerCase().replace(/[^a-z0-9]+/g, "-");
      const name = [content.name, slug, ...filters.map((column) => chosen[column])].filter(Boolean).join("_");
      const url = URL.createObjectURL(new Blob([csv(panel, panel.rows)], { type: "text/csv" }));
      element("a", undefined, { href: url, download: `${name}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    });
    if (pick) pick.addEventListener("change", show);
    return show;
  }

  filters.forEach(fill);
  const shows = content.panels.map(startPanel);

  async function show() {
    for (const column of filters) chosen[column] = selects[column].value;
    document.body.dataset.state = "drawing";
    const row = headlineRow(chosen.period);
    const [from, to] = content.headline.covers || [];
    document.getElementById("shown").textContent = row && from
      ? `${periodName(row[from])} to ${periodName(row[to])}` : "";
    showHeadline();
    await Promise.all(shows.map((showPanel) => showPanel()));
    document.body.dataset.state = "drawn";
  }

  // A chart is drawn for the width that it has, and redrawn where the window's changes.
  for (const [event, isPrinted] of [["beforeprint", true], ["afterprint", false]]) {
    addEventListener(event, () => {
      document.body.classList.toggle("printing", isPrinted);
      dispatchEvent(new Event("resize"));
    });
  }

  document.querySelector(".filters").addEventListener("change", () => {
    show();
    history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
  });
  show();
}

document.querySelector("nav [aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
for (const time of document.querySelectorAll("time[data-time]")) {
  time.textContent = timeName(time.dataset.time);
}
const age = content.loaded_at ? (Date.now() - Date.parse(content.loaded_at)) / 3600000 : Infinity;
if (age > STALE_HOURS) {
  const stale = document.getElementById("stale");
  stale.hidden = false;
  stale.textContent = content.loaded_at
    ? `No data has come for ${grouped(Math.floor(age))} hours: these numbers are as of ${timeName(content.loaded_at)} UTC.`
    : "No data has been loaded yet: make run loads it.";
}
if (content.views) startPage();
