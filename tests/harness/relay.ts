import { once } from 'node:events';
import net from 'node:net';

/** What a relay does with the bytes that pass: `silent` drops them and keeps the connections open, as a dead link does. */
export type RelayMode = 'pass' | 'silent' | 'refuse' | { delayMs: number };

export interface Relay {
  port: number;
  /** The URL, through the relay. */
  through: (url: string) => string;
  set: (mode: RelayMode) => void;
  /**
   * Drops what the server answers from the request after the next `requests` ones on: a statement is carried out, and its
   * answer lost. (A call of ours on an open connection is two requests: parse, then bind and execute.)
   */
  dropAnswersAfter: (requests: number) => void;
  /** Resets every connection. */
  cut: () => void;
  /** How many connections have been opened so far. */
  accepted: () => number;
  close: () => Promise<void>;
}

/** A TCP relay of our own between a client and a server, which can fall silent without closing. */
export async function startRelay(target: { host: string; port: number }): Promise<Relay> {
  let mode: RelayMode = 'pass';
  let answersDropped = false;
  let requestsLeft = Infinity;
  let accepted = 0;
  const sockets = new Set<net.Socket>();

  const forward = (from: net.Socket, to: net.Socket, isAnswer: boolean): void => {
    from.on('data', (bytes) => {
      if (!isAnswer && requestsLeft-- <= 0) answersDropped = true;
      if (mode === 'silent' || (isAnswer && answersDropped)) return;
      if (typeof mode === 'object') setTimeout(() => to.writable && to.write(bytes), mode.delayMs);
      else to.write(bytes);
    });
    from.on('error', () => to.destroy());
    from.on('close', () => {
      sockets.delete(from);
      // A dead link does not tell of an end either.
      if (mode !== 'silent') to.destroy();
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
    forward(client, upstream, false);
    forward(upstream, client, true);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;

  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port,
    through: (url) => {
      const changed = new URL(url);
      changed.hostname = '127.0.0.1';
      changed.port = String(port);
      return changed.href;
    },
    set: (next) => {
      mode = next;
      answersDropped = false;
      requestsLeft = Infinity;
    },
    dropAnswersAfter: (requests) => (requestsLeft = requests),
    cut,
    accepted: () => accepted,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
