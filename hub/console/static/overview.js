// All nodes, and what this one does right now.

import { call } from "./client.js";
import { badge, count, decimal, duration, every, h, millis, renew, setOffline, table } from "./dom.js";
import { Plot } from "./plot.js";

const PUSHES = [
  { key: "push_accepted", label: "accepted", cls: "s-good" },
  { key: "push_later", label: "later", cls: "s-warn" },
  { key: "push_gone", label: "gone", cls: "s-dim" },
  { key: "push_dead", label: "dead", cls: "s-bad" },
  { key: "push_stop", label: "stopped", cls: "s-alarm" },
];

function plots(rates) {
  const one = (key, cls) => [{ key, label: key, cls }];
  return [
    { title: "Connections", series: one("connections", "s-1"), format: count, least: 10 },
    { title: "Publications", note: "per second", series: one("publications", "s-2"), format: decimal, least: 10 },
    { title: "Deliveries", note: "per second", series: one("deliveries", "s-3"), format: decimal, least: 10 },
    { title: "Pushes", note: rates.pushes || !rates.measured ? "per second" : "counted by workers", series: PUSHES, format: decimal, least: 1 },
    { title: "Devices owed something", note: "all hubs", series: one("debts", "s-4"), format: count, least: 10 },
    { title: "Event loop lag", note: "worst of 10 s", series: one("loop_lag_s", "s-5"), format: millis, least: 0.01 },
  ];
}

const tile = (label) => {
  const value = h("strong", null, "–");
  return { value, element: h("div", { class: "tile" }, h("span", null, label), value) };
};

const NODES = [
  { label: "Node", cls: "wide", show: (node) => h("b", null, node.name) },
  { label: "State", show: (node) => (node.draining ? badge("draining", "warn") : badge("serving", "good")) },
  { label: "Version", show: (node) => node.version },
  { label: "Connections", cls: "number", show: (node) => count(node.num_clients) },
  { label: "Users", cls: "number", show: (node) => count(node.num_users) },
  { label: "Channels", cls: "number", show: (node) => count(node.num_channels) },
  { label: "Subscriptions", cls: "number", show: (node) => count(node.num_subs) },
  { label: "Up", cls: "number", show: (node) => duration(node.uptime) },
];

export function overview(root, { rates }) {
  const tiles = { connections: tile("Connections"), users: tile("Users"), subscriptions: tile("Subscriptions"), nodes: tile("Nodes") };
  const nodes = h("div", { id: "nodes" }, h("p", { class: "empty" }, "Asking …"));
  const grid = h("div", { class: "plots" });
  const about = h("p", { class: "lead" });
  root.append(
    h("header", null, h("h1", null, "Overview"), about),
    h("div", { class: "tiles" }, Object.values(tiles).map((each) => each.element)),
    grid,
    h("section", { class: "panel" }, h("h2", null, "Nodes"), nodes),
  );

  let drawn = [];
  const unsubscribe = rates.subscribe(({ points, latest, spanMs }) => {
    if (!drawn.length) {
      drawn = plots(latest).map((options) => new Plot(options));
      grid.replaceChildren(...drawn.map((plot) => plot.element));
      about.textContent = latest.measured ? `Plots are of ${latest.node}` : "Nothing is measured: metrics.enabled is off";
    }
    for (const plot of drawn) plot.show(points, spanMs);
  });

  const stop = every(3, async () => {
    const found = (await call("info")).nodes.sort((a, b) => a.name.localeCompare(b.name));
    setOffline(null);
    const sum = (key) => count(found.reduce((total, node) => total + node[key], 0));
    tiles.connections.value.textContent = sum("num_clients");
    tiles.users.value.textContent = sum("num_users");
    tiles.subscriptions.value.textContent = sum("num_subs");
    tiles.nodes.value.textContent = count(found.length);
    renew(nodes, found, () => [table(NODES, found, "No node answered.")]);
  });
  return () => {
    unsubscribe();
    stop();
    for (const plot of drawn) plot.stop();
  };
}
