// A listener whose cursor outlives it: started again, it is given what was published meanwhile.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const url = process.env.WS_URL ?? "ws://127.0.0.1:8000/connection/websocket";
const file = new URL("cursor.json", import.meta.url);
let cursor = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;

const hub = new Centrifuge(url, { websocket: WebSocket, token: process.env.TOKEN });
const news = hub.newSubscription("news", { since: cursor });

function keep(position) {
  cursor = position;
  writeFileSync(file, JSON.stringify(position));
}

hub.on("disconnected", (ctx) => console.log("disconnected:", ctx.code, ctx.reason));
news.on("subscribed", (ctx) => {
  // recovered false: the hub no longer has all of it. The app fetches its state anew, then goes on from here.
  console.log(ctx.wasRecovering ? `resumed, complete: ${ctx.recovered}` : "subscribed for the first time");
  keep(ctx.streamPosition);
});
news.on("publication", (ctx) => {
  console.log(ctx.offset, JSON.stringify(ctx.data));
  keep({ ...cursor, offset: ctx.offset });
});

news.subscribe();
hub.connect();
