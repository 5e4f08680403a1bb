// A user: connections, devices with what they are owed, inbox; and what an operator may do about them.

import { call, has } from "./client.js";
import { badge, count, dangerous, every, h, renew, run, section, setOffline, table, toast, when } from "./dom.js";
import { traceLink } from "./notifications.js";

const HOUR_MS = 3_600_000;

export function users(root) {
  const input = h("input", { placeholder: "User id", "aria-label": "User id", autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
  const form = h("form", { class: "row" }, input, h("button", { class: "button primary" }, "Show"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) location.hash = `#/users/${encodeURIComponent(input.value.trim())}`;
  });
  root.append(
    h("header", null, h("h1", null, "Users"), h("p", { class: "lead" }, "Connections, devices, debts and inbox of one user.")),
    h("section", { class: "panel" }, form),
  );
  input.focus({ preventScroll: true });
}

const CONNECTIONS = [
  { label: "Client", cls: "mono wide", show: ([client]) => client },
  { label: "SDK", show: ([, each]) => `${each.app_name || "?"} ${each.app_version ?? ""}`.trim() },
  { label: "Since", show: ([, each]) => when(each.connected_at) },
  { label: "Address", cls: "mono", show: ([, each]) => each.client_ip || "–" },
  { label: "Channels", cls: "wide", show: ([, each]) => channelLinks(Object.keys(each.state?.channels ?? {})) },
];

function channelLinks(names) {
  if (!names.length) return "–";
  return h("span", { class: "chips" }, names.slice(0, 12).map((name) => h("a", { class: "chip", href: `#/channels/${encodeURIComponent(name)}` }, name)), names.length > 12 ? `+${names.length - 12}` : null);
}

const STATES = { foreground: "good", background: "warn", offline: "" };

function deviceCard(device) {
  const fact = (label, value) => h("div", null, h("dt", null, label), h("dd", null, value));
  return h(
    "article",
    { class: "device", "data-device": device.id },
    h("div", { class: "device-head" }, h("b", null, `${device.platform} · ${device.app}`), badge(device.state, STATES[device.state] ?? "")),
    h("p", { class: "mono dim" }, device.id),
    h(
      "dl",
      { class: "facts" },
      fact("Owed", device.owed ? badge(count(device.owed), "warn") : "nothing"),
      fact("Has all up to", String(device.acked)),
      fact("Last seen", when(device.last_seen)),
      fact("Provider", `${device.provider}, ${device.environment}`),
    ),
  );
}

function inboxItem(user, item) {
  const shown = item.notification ?? {};
  return h(
    "a",
    { class: `inbox-item ${item.read ? "" : "unread"}`, href: traceLink(item.id, user) },
    h("span", { class: "grow" }, h("b", null, shown.title || item.id), shown.body ? h("span", { class: "dim" }, ` ${shown.body}`) : null),
    h("span", { class: "dim" }, when(item.time)),
  );
}

async function actions(user) {
  const buttons = [
    dangerous("Disconnect", "Really disconnect?", async () => {
      await call("disconnect", { user });
      toast("Disconnected");
    }),
  ];
  if (await has("user_block")) {
    const block = (label, until) =>
      dangerous(label, "Really block?", async () => {
        await call("user_block", { user, ...until() });
        toast("Blocked");
      });
    buttons.push(
      block("Block for an hour", () => ({ until: Date.now() + HOUR_MS })),
      block("Block", () => ({})),
    );
  }
  if (await has("user_unblock")) {
    const button = h("button", { type: "button", class: "button" }, "Unblock");
    button.addEventListener("click", () =>
      run(button, async () => {
        await call("user_unblock", { user });
        toast("Unblocked");
      }),
    );
    buttons.push(button);
  }
  return buttons;
}

export function user(root, { rest: id }) {
  const bar = h("div", { class: "actions", id: "actions" });
  const connections = section("Connections", { id: "connections" });
  const devices = section("Devices", { id: "devices" });
  const inbox = section("Inbox", { id: "inbox" });
  const notify = h("a", { class: "button", href: `#/notifications?users=${encodeURIComponent(id)}` }, "Notify");
  root.append(
    h("header", null, h("a", { class: "back", href: "#/users" }, "‹ Users"), h("h1", { class: "name" }, id), bar),
    connections,
    devices,
    inbox,
  );
  actions(id).then((buttons) => bar.replaceChildren(notify, ...buttons), setOffline);
  return every(3, async () => {
    const live = await call("connections", { user: id });
    setOffline(null);
    const now = Object.entries(live.connections);
    renew(connections, now, () => [table(CONNECTIONS, now, "Not connected.")]);
    try {
      const [owned, page] = await Promise.all([call("device_list", { user: id }), call("inbox_history", { user: id, limit: 20 })]);
      renew(devices, owned, () => [
        owned.devices.length ? h("div", { class: "devices" }, owned.devices.map(deviceCard)) : h("p", { class: "empty" }, "No device is registered: nothing can be pushed."),
      ]);
      renew(inbox, page, () => [
        h("p", { class: "dim" }, `${count(page.unread)} unread · read up to ${page.read} of ${page.head}`),
        ...(page.items.length ? page.items.map((item) => inboxItem(id, item)) : [h("p", { class: "empty" }, "Empty.")]),
      ]);
    } catch (error) {
      if (error.code !== 108) throw error;
      for (const panel of [devices, inbox]) renew(panel, null, () => [h("p", { class: "empty" }, "Inboxes are off (inbox.enabled).")]);
    }
  });
}
