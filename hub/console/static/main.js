// Log-in, navigation, and which page is shown.

import { look, session } from "./client.js";
import { channel, channels } from "./channels.js";
import { h, icon, run, setOffline } from "./dom.js";
import { letters } from "./letters.js";
import { notifications, trace } from "./notifications.js";
import { overview } from "./overview.js";
import { Rates } from "./rates.js";
import { user, users } from "./users.js";

const PAGES = {
  overview: { label: "Overview", list: overview },
  channels: { label: "Channels", list: channels, one: channel },
  users: { label: "Users", list: users, one: user },
  notifications: { label: "Notify", list: notifications, one: trace },
  letters: { label: "Dead letters", list: letters },
};

const app = document.getElementById("app");

function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

function switchTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const shown = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  const next = shown === "dark" ? "light" : "dark";
  localStorage.setItem("hub-console-theme", next);
  applyTheme(next);
}

function logIn() {
  const key = h("input", { type: "password", id: "key", placeholder: "API key", "aria-label": "API key", autocomplete: "off", required: true });
  const button = h("button", { class: "button primary" }, "Log in");
  const wrong = h("p", { class: "wrong", role: "alert", id: "wrong" });
  const form = h("form", { class: "login panel" }, h("img", { src: "icon.svg", alt: "", width: 48, height: 48 }), h("h1", null, "Hub console"), h("p", { class: "dim" }, "An API key with the scope admin. It is kept in this tab only."), key, button, wrong);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    wrong.textContent = "";
    run(button, async () => {
      session.key = key.value.trim();
      session.onLost = () => {};
      try {
        await enter();
      } catch (error) {
        session.key = "";
        const texts = { 401: "This hub does not know that key.", 403: "That key lacks the scope admin.", 404: "This hub does not know that key." };
        wrong.textContent = texts[error.status] ?? error.message;
      }
    });
  });
  app.replaceChildren(h("main", { class: "center" }, form));
  key.focus();
}

let leavePage = null;
let rates = null;

function leave() {
  session.key = "";
  leavePage?.();
  rates?.stop();
  leavePage = rates = null;
  removeEventListener("hashchange", route);
  setOffline(null);
  logIn();
}

async function enter() {
  const about = await look("session");
  session.onLost = leave;
  rates = new Rates();
  const links = Object.entries(PAGES).map(([name, page]) => h("a", { href: `#/${name}`, "data-page": name }, icon(name), h("span", null, page.label)));
  const theme = h("button", { type: "button", class: "quiet", onclick: switchTheme, title: "Light or dark", "aria-label": "Light or dark" }, icon("theme"));
  const out = h("button", { type: "button", class: "quiet", onclick: leave, title: "Log out", "aria-label": "Log out" }, icon("leave"));
  app.replaceChildren(
    h(
      "div",
      { class: "shell" },
      h("div", { class: "top" }, h("a", { class: "brand", href: "#/overview" }, h("img", { src: "icon.svg", alt: "", width: 28, height: 28 }), h("b", null, "Hub"), h("small", null, about.version)), h("div", { class: "tools" }, theme, out)),
      h("nav", { "aria-label": "Pages" }, links),
      h("main", { id: "page", tabindex: "-1" }),
    ),
  );
  addEventListener("hashchange", route);
  route();
}

// #/page, #/page/what-is-shown, and after a question mark what the page starts with.
function route() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const slash = path.indexOf("/");
  const name = slash < 0 ? path : path.slice(0, slash);
  const rest = slash < 0 ? "" : decodeURIComponent(path.slice(slash + 1));
  const page = PAGES[name] ?? PAGES.overview;
  const current = PAGES[name] ? name : "overview";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leavePage?.();
  const root = h("div", { class: "page", "data-page": current });
  document.getElementById("page").replaceChildren(root);
  scrollTo(0, 0);
  leavePage = (rest && page.one ? page.one : page.list)(root, { rest, rates, query: new URLSearchParams(search ?? "") }) ?? null;
}

applyTheme(localStorage.getItem("hub-console-theme"));
if (session.key) enter().catch(leave);
else logIn();
