// The last minutes of the hub's numbers, gathered from log-in on, whichever page is shown.

import { look } from "./client.js";
import { every, setOffline } from "./dom.js";

const EVERY_S = 2;
const KEPT_MS = 5 * 60_000;

const GAUGES = ["connections", "debts", "loop_lag_s"];

export class Rates {
  constructor() {
    this.points = [];
    this.latest = null;
    this.listeners = new Set();
    this.stop = every(EVERY_S, () => this.#take());
  }

  // Whole minutes that hold all points: a plot of the first minute should not be four parts empty.
  get spanMs() {
    const age = this.points.length ? this.latest.at - this.points[0].at : 0;
    return Math.min(KEPT_MS, Math.max(1, Math.ceil(age / 60_000)) * 60_000);
  }

  subscribe(listener) {
    this.listeners.add(listener);
    if (this.latest) listener(this);
    return () => this.listeners.delete(listener);
  }

  async #take() {
    const told = await look("rates");
    setOffline(null);
    const before = this.latest;
    this.latest = told;
    const values = {};
    for (const name of GAUGES) values[name] = told[name] ?? null;
    // Another process begins at zero: a difference to it would be nonsense.
    const same = before && before.node === told.node && before.counters && told.counters;
    const seconds = before ? (told.at - before.at) / 1000 : 0;
    const rate = (now, then) => (same && seconds > 0 && now >= (then ?? 0) ? (now - (then ?? 0)) / seconds : null);
    for (const name of ["publications", "deliveries"]) values[name] = rate(told.counters?.[name], before?.counters?.[name]);
    const pushes = { accepted: 0, later: 0, gone: 0, dead: 0, stop: 0, ...told.pushes };
    for (const [outcome, total] of Object.entries(pushes)) values[`push_${outcome}`] = told.pushes ? rate(total, before?.pushes?.[outcome]) : null;
    this.points.push({ at: told.at, values });
    while (this.points[0].at < told.at - KEPT_MS) this.points.shift();
    for (const listener of this.listeners) listener(this);
  }
}
