// Notify users, with the plan before it is done; and what became of a notification, device by device.

import { call } from "./client.js";
import { badge, clock, count, dangerous, every, field, h, millis, renew, run, section, setOffline, table, toast } from "./dom.js";

export const traceLink = (id, user) => `#/notifications/${encodeURIComponent(id)}${user ? `?user=${encodeURIComponent(user)}` : ""}`;

const WAYS = { socket: ["socket first", "good"], push: ["push now", "warn"], none: ["none", ""] };

const PLAN = [
  { label: "User", cls: "wide", show: (each) => each.user },
  { label: "Device", cls: "mono wide", show: (each) => each.device || "–" },
  { label: "Way", show: (each) => badge(...(WAYS[each.way] ?? [each.way])) },
  { label: "Push after", cls: "number", show: (each) => (each.way === "socket" ? millis(each.wait_ms / 1000) : "–") },
];

function notifyForm(users) {
  const input = (name, value = "") => h("input", { name, value, autocomplete: "off" });
  const to = h("input", { name: "users", value: users, autocomplete: "off", autocapitalize: "off", placeholder: "demo, 42", required: true });
  const title = input("title", "Hello");
  const body = input("body", "From the console");
  const data = h("textarea", { name: "data", rows: 2, spellcheck: "false", placeholder: '{"chat": "lobby"}' });
  const fallback = h("select", { name: "fallback" }, h("option", { value: "push" }, "push"), h("option", { value: "none" }, "never push"));
  const priority = h("select", { name: "priority" }, h("option", { value: "high" }, "high"), h("option", { value: "normal" }, "normal"));
  const plan = h("div", { id: "plan" });
  const send = h("button", { class: "button primary" }, "Send");
  const dry = h("button", { type: "button", class: "button" }, "Show the plan");
  const asked = () => {
    const shown = Object.fromEntries(Object.entries({ title: title.value, body: body.value }).filter(([, text]) => text));
    return {
      users: to.value.split(/[\s,]+/).filter(Boolean),
      ...(Object.keys(shown).length ? { notification: shown } : {}),
      ...(data.value.trim() ? { data: JSON.parse(data.value) } : {}),
      fallback: fallback.value,
      priority: priority.value,
    };
  };
  dry.addEventListener("click", () =>
    run(dry, async () => {
      const result = await call("notify", { ...asked(), dry_run: true });
      plan.replaceChildren(h("h3", null, "What would happen"), table(PLAN, result.plan ?? [], "No device is registered: it would wait in the inbox."));
    }),
  );
  const form = h(
    "form",
    null,
    field("Users", to, "Ids, with commas between them"),
    h("div", { class: "fields" }, field("Title", title), field("Text", body)),
    field("Data for the app", data, "Any JSON, or nothing"),
    h("div", { class: "fields" }, field("Without proof of receipt", fallback), field("Priority", priority)),
    h("div", { class: "actions" }, send, dry),
    plan,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(send, async () => {
      const { id, accepted } = await call("notify", asked());
      toast(`Accepted for ${count(accepted)}`);
      location.hash = traceLink(id);
    });
  });
  return section("Notify", { id: "notify" }, form);
}

export function notifications(root, { query }) {
  const id = h("input", { placeholder: "Id of a notification", "aria-label": "Id", autocomplete: "off", spellcheck: "false" });
  const find = h("form", { class: "row" }, id, h("button", { class: "button" }, "Trace"));
  find.addEventListener("submit", (event) => {
    event.preventDefault();
    if (id.value.trim()) location.hash = traceLink(id.value.trim());
  });
  root.append(
    h("header", null, h("h1", null, "Notifications"), h("p", { class: "lead" }, "Said once; each device learns of it one way.")),
    h("div", { class: "columns" }, notifyForm(query.get("users") ?? ""), section("What became of one?", null, find, h("p", { class: "dim" }, "Every step is kept for a while: written, proven, due, pushed."))),
  );
}

const KINDS = {
  proven: "good",
  pushed: "good",
  read: "good",
  opened: "good",
  accepted: "blue",
  written: "blue",
  retry: "warn",
  due: "warn",
  dropped: "bad",
  expired: "bad",
  withdrawn: "bad",
};

function step(event, index, events) {
  const since = index ? `+${millis((event.time - events[0].time) / 1000)}` : "";
  return h(
    "li",
    { class: `step ${KINDS[event.event] ?? ""}`, "data-event": event.event },
    h("div", { class: "step-head" }, h("b", null, event.event), h("time", { class: "dim" }, clock(event.time, true)), h("span", { class: "dim" }, since)),
    event.detail || event.node ? h("p", { class: "dim mono" }, [event.detail, event.node && `on ${event.node}`].filter(Boolean).join(" · ")) : null,
  );
}

function timeline(device) {
  return h(
    "section",
    { class: "panel timeline" },
    h("div", { class: "panel-head" }, h("a", { href: `#/users/${encodeURIComponent(device.user)}` }, h("b", null, device.user)), h("span", { class: "mono dim" }, device.device || "no device")),
    h("ol", { class: "steps" }, device.events.map(step)),
  );
}

export function trace(root, { rest: id, query }) {
  const user = query.get("user") ?? "";
  const status = h("p", { class: "lead" }, " ");
  const devices = h("div", { class: "timelines", id: "trace" });
  const takeBack = dangerous("Take back", "Really take back?", async () => {
    const { withdrawn } = await call("notify_cancel", { id });
    toast(`Taken back from ${count(withdrawn)}`);
  });
  root.append(
    h("header", null, h("a", { class: "back", href: "#/notifications" }, "‹ Notifications"), h("h1", { class: "name mono" }, id), status, h("div", { class: "actions" }, takeBack)),
    devices,
  );
  return every(1.5, async () => {
    const ask = async (method, params) => {
      try {
        return await call(method, params);
      } catch (error) {
        if (error.code) return null;
        throw error;
      }
    };
    const [state, found] = await Promise.all([ask("notify_status", { id }), ask("notification_trace", { id, ...(user ? { user } : {}) })]);
    setOffline(null);
    status.textContent = state ? `${state.state}: ${count(state.done)} of ${count(state.users)} users notified${state.failed ? `, ${count(state.failed)} failed` : ""}` : "Nothing is known of this call, or no more.";
    const list = found?.devices ?? [];
    renew(devices, list, () => (list.length ? list.map(timeline) : [h("p", { class: "empty" }, "No step is known.")]));
  });
}
