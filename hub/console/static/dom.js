// Elements, and how values read. Texts only ever become text nodes: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

const ICONS = {
  overview: "M3 12h4l3-8 4 16 3-8h4",
  channels: "M5 9h14M5 15h14M10 4 8 20M16 4l-2 16",
  users: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4 20c1-4 4-5.5 8-5.5s7 1.5 8 5.5",
  notifications: "M6 16V11a6 6 0 1 1 12 0v5l2 2H4l2-2ZM10 21h4",
  letters: "M4 7h16v11H4zM4 7l8 6 8-6",
  theme: "M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8Z",
  leave: "M10 5H5v14h5M14 8l4 4-4 4M18 12H9",
};

export const icon = (name) =>
  svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

export function toast(text, kind = "good", link = null) {
  const shown = h("div", { class: `toast ${kind}` }, text, link);
  document.getElementById("toasts").append(shown);
  setTimeout(() => shown.remove(), kind === "bad" ? 8000 : 4000);
}

// Runs `work` for a button: busy meanwhile, and what goes wrong is said.
export async function run(button, work) {
  button.disabled = true;
  try {
    return await work();
  } catch (error) {
    toast(error.message, "bad");
  } finally {
    button.disabled = false;
  }
}

// A button for what cannot be undone: it asks once, in its own place.
export function dangerous(label, question, work, cls = "button") {
  let timer = 0;
  const calm = () => {
    clearTimeout(timer);
    timer = 0;
    button.textContent = label;
    button.classList.remove("armed");
  };
  const button = h("button", { type: "button", class: `${cls} danger` }, label);
  button.addEventListener("click", () => {
    if (timer) {
      calm();
      run(button, work);
    } else {
      button.textContent = question;
      button.classList.add("armed");
      timer = setTimeout(calm, 4000);
    }
  });
  button.addEventListener("blur", calm);
  return button;
}

// A table that turns into cards where it has no room. A column: label, how to show a row, class.
export function table(columns, rows, empty) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const head = h("tr", null, columns.map((column) => h("th", { class: column.cls }, column.label)));
  const body = rows.map((row) =>
    h("tr", null, columns.map((column) => h("td", { class: column.cls, "data-label": column.label }, column.show(row)))),
  );
  return h("div", { class: "table" }, h("table", null, h("thead", null, head), h("tbody", null, body)));
}

export const badge = (text, kind = "") => h("span", { class: `badge ${kind}` }, text);

export const section = (title, props, ...children) =>
  h("section", { class: "panel", ...props }, h("h2", null, title), ...children);

const drawn = new WeakMap();

// Fills `element` below its headline when there is news: a text that somebody marks should stay marked.
export function renew(element, told, make) {
  const text = JSON.stringify(told);
  if (drawn.get(element) === text) return;
  drawn.set(element, text);
  const headline = element.matches(".panel") ? [element.firstChild] : [];
  element.replaceChildren(...headline, ...make());
}

export function field(label, input, hint) {
  return h("label", { class: "field" }, h("span", null, label), input, hint ? h("small", null, hint) : null);
}

// Keeps asking while a page is shown, never twice at a time; the answer stops it.
export function every(seconds, work) {
  let stopped = false;
  let timer = 0;
  const round = async () => {
    if (!document.hidden) {
      try {
        await work();
      } catch (error) {
        if (!stopped) setOffline(error);
      }
    }
    if (!stopped) timer = setTimeout(round, seconds * 1000);
  };
  round();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

let offline = null;

export function setOffline(error) {
  const away = error && (error.status === 0 || error.status >= 500);
  if (error && !away) toast(error.message, "bad");
  if (away && !offline) {
    offline = h("div", { class: "offline", role: "alert" }, "No answer from the hub. Trying again …");
    document.body.prepend(offline);
  } else if (!error && offline) {
    offline.remove();
    offline = null;
  }
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value) => (Math.abs(value) < 100_000 ? whole.format(value) : short.format(value));
export const decimal = (value) => (value && Math.abs(value) < 10 ? String(Math.round(value * 10) / 10) : count(value));
export const millis = (value) => (value >= 1 ? `${decimal(value)} s` : `${decimal(value * 1000)} ms`);

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const pad = (value, width = 2) => String(value).padStart(width, "0");

export function clock(ms, withMillis = false) {
  const at = new Date(ms);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return withMillis ? `${time}.${pad(at.getMilliseconds(), 3)}` : time;
}

export function when(ms) {
  if (!ms) return "–";
  const at = new Date(ms);
  const today = new Date().toDateString() === at.toDateString();
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return h("time", { datetime: at.toISOString(), title: at.toISOString() }, today ? clock(ms) : `${day} ${clock(ms)}`);
}

// JSON on one line where it is short. Within texts JSON has no line breaks, so only its own go.
export function pretty(value) {
  const lines = JSON.stringify(value, null, 2);
  const line = lines.replace(/\n\s*/g, " ");
  return line.length <= 100 ? line : lines;
}
