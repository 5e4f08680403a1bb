// Runs the published JavaScript SDK for a test that lives in another process.
//
// Commands come as JSON lines on stdin, answers and events leave as JSON lines on stdout, in the
// order in which the SDK told of them. Knows no test and decides nothing: what the SDK calls back
// for (tokens, states) is asked for over the same lines.
//
//   in   {"id": 1, "client": "a", "do": "publish", "with": {...}}      or  {"answer": 7, "value": ...}
//   out  {"id": 1, "result": ...} | {"id": 1, "error": {...}}
//        {"client": "a", "event": "publication", "ctx": {...}}
//        {"client": "a", "ask": 7, "what": "token", "channel": "..."}

import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { Centrifuge as JsonCentrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

const questions = new Map();
let lastQuestion = 0;

function ask(client, what, channel) {
  const id = ++lastQuestion;
  return new Promise((resolve) => {
    questions.set(id, resolve);
    say({ client, ask: id, what, channel });
  });
}

// Payloads are JSON for the tests in both codecs; the Protobuf build of the SDK takes and gives bytes.
const payloads = {
  json: { encode: (value) => value, decode: (value) => value ?? null },
  protobuf: {
    encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
    decode: (bytes) => {
      if (!bytes || bytes.length === 0) return null;
      try {
        return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
      } catch {
        return { b64: Buffer.from(bytes).toString('base64') };
      }
    },
  },
};

class Driven {
  constructor(name, options) {
    this.name = name;
    this.payload = payloads[options.codec];
    const Sdk = options.codec === 'protobuf' ? ProtobufCentrifuge : JsonCentrifuge;
    this.sdk = new Sdk(options.url, {
      websocket: WebSocket,
      token: options.token,
      getToken: options.asks_token ? () => ask(name, 'token', '') : null,
      data: options.data === null ? null : this.payload.encode(options.data),
      maxServerPingDelay: options.max_server_ping_delay_ms,
      minReconnectDelay: options.min_reconnect_delay_ms,
      maxReconnectDelay: options.max_reconnect_delay_ms,
    });
    for (const event of ['connecting', 'connected', 'disconnected', 'error']) {
      this.sdk.on(event, (ctx) => this.tell(event, ctx));
    }
    for (const event of ['subscribing', 'subscribed', 'unsubscribed', 'publication', 'join', 'leave']) {
      this.sdk.on(event, (ctx) => this.tell('server_' + event, ctx));
    }
  }

  tell(event, ctx) {
    say({ client: this.name, event, ctx: this.context(ctx) });
  }

  context(ctx) {
    const { streamPosition, wasRecovering, error, info, data, offset, ...same } = ctx;
    const told = { ...same };
    if ('data' in ctx) told.data = this.payload.decode(data);
    if ('info' in ctx) told.info = this.info(info);
    if ('wasRecovering' in ctx) {
      told.was_recovering = wasRecovering;
      told.position = streamPosition ?? null;
    }
    if (error) Object.assign(told, { code: error.code, message: error.message });
    if ('offset' in ctx || 'tags' in ctx) told.offset = offset ?? 0;
    return told;
  }

  info(info) {
    if (!info) return null;
    return {
      client: info.client,
      user: info.user,
      conn_info: this.payload.decode(info.connInfo),
      chan_info: this.payload.decode(info.chanInfo),
    };
  }

  publication(pub) {
    return {
      data: this.payload.decode(pub.data),
      offset: pub.offset ?? 0,
      info: this.info(pub.info),
      tags: pub.tags ?? {},
    };
  }

  subscription(channel, options) {
    const found = this.sdk.getSubscription(channel);
    if (found) return found;
    const sub = this.sdk.newSubscription(channel, {
      token: options.token,
      getToken: options.asks_token ? () => ask(this.name, 'token', channel) : null,
      recoverable: options.recoverable,
      positioned: options.positioned,
      joinLeave: options.join_leave,
      ...(options.delta ? { delta: options.delta } : {}),
      ...(options.asks_state ? { getState: () => ask(this.name, 'state', channel) } : {}),
      minResubscribeDelay: options.min_resubscribe_delay_ms,
      maxResubscribeDelay: options.max_resubscribe_delay_ms,
    });
    for (const event of ['subscribing', 'subscribed', 'unsubscribed', 'publication', 'join', 'leave', 'error']) {
      sub.on(event, (ctx) => this.tell(event === 'error' ? 'subscription_error' : event, ctx));
    }
    return sub;
  }

  connect() {
    this.sdk.connect();
  }

  disconnect() {
    this.sdk.disconnect();
  }

  subscribe({ channel, options }) {
    this.subscription(channel, options).subscribe();
  }

  unsubscribe({ channel }) {
    this.sdk.getSubscription(channel).unsubscribe();
  }

  async publish({ channel, data, b64 }) {
    await this.sdk.publish(channel, b64 ? new Uint8Array(Buffer.from(b64, 'base64')) : this.payload.encode(data));
  }

  async history({ channel, limit, since, reverse }) {
    const found = await this.sdk.history(channel, { limit, reverse, ...(since ? { since } : {}) });
    return {
      publications: found.publications.map((pub) => this.publication(pub)),
      offset: found.offset,
      epoch: found.epoch,
    };
  }

  async presence({ channel }) {
    const { clients } = await this.sdk.presence(channel);
    return Object.fromEntries(Object.entries(clients).map(([id, info]) => [id, this.info(info)]));
  }

  async presence_stats({ channel }) {
    const { numClients, numUsers } = await this.sdk.presenceStats(channel);
    return { num_clients: numClients, num_users: numUsers };
  }

  async rpc({ method, data }) {
    return this.payload.decode((await this.sdk.rpc(method, this.payload.encode(data))).data);
  }

  delta_stats({ channel }) {
    const stats = this.sdk.getSubscription(channel).deltaStats();
    return { whole: stats.numFullPayloads, patches: stats.numDeltaPayloads };
  }
}

const clients = new Map();

async function run({ id, client, do: what, with: parameters }) {
  try {
    if (what === 'new') {
      clients.set(client, new Driven(client, parameters));
      say({ id, result: null });
    } else {
      say({ id, result: (await clients.get(client)[what](parameters)) ?? null });
    }
  } catch (error) {
    say({ id, error: { code: error.code ?? 0, message: error.message ?? String(error) } });
  }
}

createInterface({ input: process.stdin })
  .on('line', (text) => {
    const line = JSON.parse(text);
    if ('answer' in line) {
      questions.get(line.answer)(line.value);
      questions.delete(line.answer);
    } else {
      run(line);
    }
  })
  .on('close', () => process.exit(0));

say({ ready: true });
