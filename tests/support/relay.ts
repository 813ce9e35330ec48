import { once } from 'node:events';
import net from 'node:net';
import { throughPort } from './through-port.js';

/**
 * What a relay does with the bytes that pass. `silent` drops them and keeps the connections open, as a dead link does:
 * a
 * connection that has lost bytes stays silent for ever. `hold` keeps them, ends included, until the mode changes.
 */
export type RelayMode = 'pass' | 'silent' | 'hold' | 'refuse' | { delayMs: number };

export interface Relay {
  port: number;
  /** The URL, through the relay. */
  through: (url: string) => string;
  set: (mode: RelayMode) => void;
  /**
   * Drops the server's answers after the next `requests` requests: a statement is executed, and its
   * answer is lost. (A call on an open connection is two requests: parse, then bind and execute.)
   */
  dropAnswersAfter: (requests: number) => void;
  /** Calls `action` once, just before it passes on the next request that holds `text`. */
  beforeRequest: (text: string, action: () => void) => void;
  /** Resets every connection. */
  cut: () => void;
  /** The number of connections so far. */
  accepted: () => number;
  close: () => Promise<void>;
}

/** A TCP relay between a client and a server, which can become silent without closing. */
export async function startRelay(target: { host: string; port: number }): Promise<Relay> {
  let mode: RelayMode = 'pass';
  let answersDropped = false;
  let requestsLeft = Infinity;
  let accepted = 0;
  const sockets = new Set<net.Socket>();
  const streams = new Set<Stream>();
  let watches: { text: string; action: () => void }[] = [];

  const watch = (bytes: Buffer): void => {
    const due = watches.filter(({ text }) => bytes.includes(text));
    watches = watches.filter((one) => !due.includes(one));
    for (const { action } of due) action();
  };
  const forward = (from: net.Socket, to: net.Socket, isAnswer: boolean, link: { dead: boolean }): void => {
    const stream = new Stream(to, () => mode === 'hold');
    streams.add(stream);
    from.on('data', (bytes) => {
      if (!isAnswer) watch(bytes);
      if (!isAnswer && requestsLeft-- <= 0) answersDropped = true;
      if (mode === 'silent' || (isAnswer && answersDropped)) link.dead = true;
      // After lost bytes the connection is useless; but the request whose answer is lost arrives.
      if (link.dead && (mode === 'silent' || isAnswer || !answersDropped)) return;
      stream.push(() => to.write(bytes), delayOf(mode));
    });
    from.on('error', () => undefined);
    from.on('close', () => {
      sockets.delete(from);
      // A dead link does not transmit an end either.
      if (mode !== 'silent' && !link.dead) stream.push(() => to.end(), delayOf(mode));
      stream.push(() => streams.delete(stream), 0);
    });
  };

  const server = net.createServer((client) => {
    accepted++;
    if (mode === 'refuse') {
      client.destroy();
      return;
    }
    const upstream = net.connect(target);
    sockets.add(client).add(upstream);
    const link = { dead: false };
    forward(client, upstream, false, link);
    forward(upstream, client, true, link);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;

  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port,
    through: (url) => throughPort(url, port),
    set: (next) => {
      mode = next;
      answersDropped = false;
      requestsLeft = Infinity;
      for (const stream of streams) stream.flow();
    },
    dropAnswersAfter: (requests) => (requestsLeft = requests),
    beforeRequest: (text, action) => watches.push({ text, action }),
    cut,
    accepted: () => accepted,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function delayOf(mode: RelayMode): number {
  return typeof mode === 'object' ? mode.delayMs : 0;
}

/** One direction of a connection. Delayed and held bytes stay in order. */
class Stream {
  readonly #late: { deliver: () => void; dueMs: number }[] = [];

  constructor(
    private readonly to: net.Socket,
    private readonly isHeld: () => boolean,
  ) {}

  push(deliver: () => void, delayMs: number): void {
    this.#late.push({ deliver, dueMs: performance.now() + delayMs });
    this.flow();
  }

  flow(): void {
    for (;;) {
      const next = this.#late[0];
      if (next === undefined || this.isHeld()) return;
      const leftMs = next.dueMs - performance.now();
      if (leftMs > 0) {
        setTimeout(() => this.flow(), leftMs).unref();
        return;
      }
      this.#late.shift();
      if (this.to.writable) next.deliver();
    }
  }
}
