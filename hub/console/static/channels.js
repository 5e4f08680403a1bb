// Channels with their subscribers; one of them live, with its history, who is there, and a form to publish.

import { call, watch } from "./client.js";
import { badge, clock, count, every, field, h, pretty, renew, run, section, setOffline, table, toast } from "./dom.js";

const SHOWN = 200;
const AGAIN_MS = 3000;
const KEPT_LINES = 200;
const PRESENT_SHOWN = 50;

const link = (channel) => `#/channels/${encodeURIComponent(channel)}`;

// What people type is a part of a name; with a star it is a pattern.
const patternOf = (text) => (!text ? "" : /[*?]/.test(text) ? text : text.startsWith("inbox:#") ? `${text}*` : `*${text}*`);

export function channels(root) {
  const filter = h("input", { type: "search", placeholder: "Part of a name, or chat:*", "aria-label": "Filter", autocomplete: "off" });
  const list = h("div", { id: "channels" });
  const open = h("form", { class: "row" }, filter, h("button", { class: "button" }, "Open"));
  open.addEventListener("submit", (event) => {
    event.preventDefault();
    if (filter.value) location.hash = link(filter.value);
  });
  root.append(
    h("header", null, h("h1", null, "Channels"), h("p", { class: "lead" }, "Those somebody is subscribed to. A whole name and Open shows any other.")),
    h("section", { class: "panel" }, open, list),
  );

  let asked = 0;
  const refresh = async () => {
    const mine = ++asked;
    const found = Object.entries((await call("channels", { pattern: patternOf(filter.value.trim()) })).channels);
    setOffline(null);
    if (mine !== asked) return;
    found.sort(([a, { num_clients: m }], [b, { num_clients: n }]) => n - m || a.localeCompare(b));
    const most = found[0]?.[1].num_clients ?? 1;
    const rows = found.slice(0, SHOWN).map(([channel, { num_clients: subscribers }]) => {
      const bar = h("i", { class: "bar" });
      bar.style.width = `${(100 * subscribers) / most}%`;
      return h("a", { class: "channel", href: link(channel) }, h("span", null, channel), h("b", null, count(subscribers)), bar);
    });
    const more = found.length - rows.length;
    list.replaceChildren(
      ...(rows.length ? rows : [h("p", { class: "empty" }, filter.value ? "No channel of that name has subscribers." : "Nobody is subscribed to anything.")]),
      more > 0 ? h("p", { class: "empty" }, `${count(more)} more: narrow the filter.`) : "",
    );
  };
  filter.addEventListener("input", () => refresh().catch(setOffline));
  return every(4, refresh);
}

function publishForm(channel) {
  const data = h("textarea", { rows: 3, spellcheck: "false", "aria-label": "Data" }, '{"text": "hello"}');
  const button = h("button", { class: "button primary" }, "Publish");
  const form = h("form", null, field("Data", data, "Any JSON"), h("div", { class: "actions" }, button));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(button, async () => {
      const result = await call("publish", { channel, data: JSON.parse(data.value) });
      toast(result.offset ? `Published at offset ${result.offset}` : "Published");
    });
  });
  return section("Publish", { id: "publish" }, form);
}

function lineOf(told) {
  const meta = [told.time ? clock(told.time, true) : clock(Date.now(), true)];
  if (told.offset) meta.push(`offset ${told.offset}`);
  if (told.info) meta.push(`by ${told.info.user || "anonymous"}`);
  const head = h("div", { class: "line-head" }, told.type === "publication" ? null : badge(told.type.replace("_", " "), told.type === "gap" ? "bad" : ""), ...meta.map((text) => h("span", null, text)));
  if (told.type === "left_out") return h("li", { class: "line note" }, `${count(told.count)} left out: too many to look at`);
  if (told.type === "gap") return h("li", { class: "line" }, head, "Publications were lost: the stream no longer has them");
  const text = told.type === "publication" ? (told.b64data ? `base64 ${told.b64data}` : pretty(told.data)) : "";
  return h("li", { class: "line" }, head, text ? h("pre", null, text) : null);
}

function live(channel) {
  const state = h("span", { class: "badge", id: "watch-state" }, "connecting");
  const lines = h("ol", { class: "lines", id: "watch" });
  const empty = h("p", { class: "empty" }, "What is published shows here.");
  let waiting = [];
  let abort = new AbortController();
  let paused = false;
  let stopped = false;

  const draw = () => {
    const fresh = waiting.reverse().slice(0, KEPT_LINES).map(lineOf);
    waiting = [];
    if (fresh.length) empty.remove();
    lines.prepend(...fresh);
    while (lines.childElementCount > KEPT_LINES) lines.lastChild.remove();
  };
  const say = (text, kind) => {
    state.textContent = text;
    state.className = `badge ${kind}`;
  };
  const follow = async () => {
    abort = new AbortController();
    const { signal } = abort;
    say("connecting", "");
    try {
      for await (const told of watch(channel, signal)) {
        if (told.type === "watching") say("live", "good pulse");
        else {
          if (!waiting.length) requestAnimationFrame(draw);
          waiting.push(told);
        }
      }
      say("ended by the hub", "warn");
    } catch (error) {
      if (signal.aborted) return paused && say("paused", "");
      say(error.message, "bad");
      if (error.status >= 400 && error.status < 429) return;
    }
    // Unless somebody left, paused, or asked again meanwhile.
    setTimeout(() => stopped || signal.aborted || follow(), AGAIN_MS);
  };
  const button = h("button", { type: "button", class: "button small" }, "Pause");
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    if (paused) abort.abort();
    else follow();
  });
  const clear = h("button", { type: "button", class: "button small", onclick: () => lines.replaceChildren() }, "Clear");
  follow();
  return {
    element: h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", null, "Live"), state, h("span", { class: "grow" }), button, clear), empty, lines),
    stop: () => {
      stopped = true;
      abort.abort();
    },
  };
}

const PRESENT = [
  { label: "User", cls: "wide", show: (each) => (each.user ? h("a", { href: `#/users/${encodeURIComponent(each.user)}` }, each.user) : "anonymous") },
  { label: "Client", cls: "mono", show: (each) => each.client },
];

export function channel(root, { rest: name }) {
  const stream = live(name);
  const numbers = h("p", { class: "lead" }, " ");
  const present = section("Who is there", { id: "presence" }, h("p", { class: "empty" }, "Asking …"));
  const history = section("History", { id: "history" }, h("p", { class: "empty" }, "Asking …"));
  root.append(
    h("header", null, h("a", { class: "back", href: "#/channels" }, "‹ Channels"), h("h1", { class: "name" }, name), numbers),
    h("div", { class: "columns" }, stream.element, h("div", { class: "stack" }, publishForm(name), present, history)),
  );
  const stop = every(4, async () => {
    const [there, past] = await Promise.allSettled([
      call("presence", { channel: name }),
      call("history", { channel: name, limit: 10, reverse: true }),
    ]);
    if (there.status === "fulfilled") {
      const clients = Object.values(there.value.presence);
      const more = clients.length - PRESENT_SHOWN;
      renew(present, clients, () => [
        table(PRESENT, clients.slice(0, PRESENT_SHOWN), "Nobody."),
        more > 0 ? h("p", { class: "empty" }, `${count(more)} more.`) : "",
      ]);
    } else if (there.reason.code) renew(present, null, () => [h("p", { class: "empty" }, "Presence is off in this channel.")]);
    if (past.status === "fulfilled") {
      numbers.textContent = `Top of the stream: offset ${past.value.offset}, epoch ${past.value.epoch}`;
      const items = past.value.publications.map((each) => ({ type: "publication", ...each }));
      renew(history, items, () => [items.length ? h("ol", { class: "lines" }, items.map(lineOf)) : h("p", { class: "empty" }, "Empty.")]);
    } else if (past.reason.code) {
      numbers.textContent = past.reason.code === 108 ? "This channel keeps no history." : past.reason.message;
      renew(history, null, () => [h("p", { class: "empty" }, "None is kept.")]);
    }
    const failed = [there, past].find((each) => each.status === "rejected" && !each.reason.code);
    setOffline(failed ? failed.reason : null);
  });
  return () => {
    stop();
    stream.stop();
  };
}
