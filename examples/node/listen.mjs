import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const url = process.env.WS_URL ?? "ws://127.0.0.1:8000/connection/websocket";
const hub = new Centrifuge(url, { websocket: WebSocket, token: process.env.TOKEN });
const news = hub.newSubscription("news");

hub.on("connected", (ctx) => console.log("connected as", ctx.client));
hub.on("disconnected", (ctx) => console.log("disconnected:", ctx.code, ctx.reason));
news.on("subscribed", (ctx) => console.log("subscribed at offset", ctx.streamPosition.offset));
news.on("publication", (ctx) => console.log(ctx.offset, JSON.stringify(ctx.data)));

news.subscribe();
hub.connect();
