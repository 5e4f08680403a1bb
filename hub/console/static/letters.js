// Notifications that could not be sent: looked at, tried again, or dropped.

import { call } from "./client.js";
import { count, dangerous, h, run, setOffline, table, toast, when } from "./dom.js";
import { traceLink } from "./notifications.js";

const PAGE = 50;

export function letters(root) {
  const lane = h("input", { type: "search", placeholder: "All lanes, or apns:com.example:production", "aria-label": "Lane", autocomplete: "off", spellcheck: "false" });
  const list = h("div", { id: "letters" });
  const bar = h("div", { class: "actions" });
  const more = h("button", { type: "button", class: "button", hidden: true }, "More");
  let found = [];
  let cursor;

  const act = async (method, params, word) => {
    const { count: done } = await call(method, params);
    toast(`${count(done)} ${word}`);
    await load();
  };
  const columns = [
    { label: "When", show: (each) => when(each.time) },
    { label: "User", cls: "wide", show: (each) => h("a", { href: `#/users/${encodeURIComponent(each.user)}` }, each.user) },
    { label: "Device", cls: "mono wide", show: (each) => each.device },
    { label: "Notification", cls: "mono wide", show: (each) => h("a", { href: traceLink(each.notification, each.user) }, each.notification) },
    { label: "Lane", show: (each) => each.lane },
    { label: "Reason", cls: "wide", show: (each) => each.reason },
    { label: "", cls: "buttons", show: (each) => h("span", { class: "actions" }, replayButton("Try again", { ids: [each.id] }, "button small"), dangerous("Drop", "Really?", () => act("dead_letters_drop", { ids: [each.id] }, "dropped"), "button small")) },
  ];
  function replayButton(label, params, cls) {
    const button = h("button", { type: "button", class: cls }, label);
    button.addEventListener("click", () => run(button, () => act("dead_letters_replay", params, "owed again")));
    return button;
  }
  const draw = () => {
    list.replaceChildren(table(columns, found, "None. Everything that could be sent was sent."));
    more.hidden = !cursor;
    const name = lane.value.trim();
    bar.replaceChildren(
      ...(name && found.length
        ? [replayButton(`Try all of ${name} again`, { lane: name }, "button"), dangerous("Drop all of it", "Really drop all?", () => act("dead_letters_drop", { lane: name }, "dropped"))]
        : []),
    );
  };
  const load = async (next) => {
    const name = lane.value.trim();
    const page = await call("dead_letters", { limit: PAGE, ...(name ? { lane: name } : {}), ...(next ? { cursor: next } : {}) });
    setOffline(null);
    found = next ? [...found, ...page.letters] : page.letters;
    cursor = page.cursor;
    draw();
  };
  const fail = (error) => (error.code === 108 ? list.replaceChildren(h("p", { class: "empty" }, "Inboxes are off (inbox.enabled).")) : setOffline(error));
  more.addEventListener("click", () => run(more, () => load(cursor)));
  const form = h("form", { class: "row" }, lane, h("button", { class: "button" }, "Look"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    load().catch(fail);
  });
  root.append(
    h("header", null, h("h1", null, "Dead letters"), h("p", { class: "lead" }, "What a provider will never take as it is. Mend the cause, then try again.")),
    h("section", { class: "panel" }, form, bar, list, more),
  );
  load().catch(fail);
}
