import { once } from 'node:events';
import net from 'node:net';
import { throughPort } from './through-port.js';

/** A message of a client in PostgreSQL's protocol. Start-up messages have no letter. */
export interface Message {
  /** `start`, or the letter: `Q` and `P` hold SQL, `B` bound parameters. */
  type: string;
  body: Buffer;
}

export interface Wire {
  /** The URL, through the wire. */
  through: (url: string) => string;
  messages: () => readonly Message[];
  /** The parameters of every Bind, as text. */
  parameters: () => string[];
  close: () => Promise<void>;
}

const SSL_REQUEST = 80_877_103;

/** Passes everything to the server (without TLS), and keeps the clients' messages. */
export async function startWire(target: { host: string; port: number }): Promise<Wire> {
  const messages: Message[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const upstream = net.connect(target);
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => undefined));
    const read = reader((message) => messages.push(message));
    client.on('data', read);
    client.pipe(upstream).pipe(client);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  return {
    through: (url) => throughPort(url, port),
    messages: () => messages,
    parameters: () => messages.filter(({ type }) => type === 'B').flatMap(({ body }) => parametersOf(body)),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Splits the bytes of one connection into messages: a letter, a length that counts itself, the body. */
export function reader(tell: (message: Message) => void): (bytes: Buffer) => void {
  let rest = Buffer.alloc(0);
  let isStarted = false;
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (;;) {
      const head = isStarted ? 1 : 0;
      if (rest.length < head + 4) return;
      const end = head + rest.readInt32BE(head);
      if (rest.length < end) return;
      const body = Buffer.from(rest.subarray(head + 4, end));
      tell({ type: isStarted ? String.fromCharCode(rest[0] ?? 0) : 'start', body });
      // The request for TLS comes before the start-up message.
      isStarted ||= body.readInt32BE(0) !== SSL_REQUEST;
      rest = rest.subarray(end);
    }
  };
}

function parametersOf(body: Buffer): string[] {
  let at = body.indexOf(0) + 1; // after the portal's name
  at = body.indexOf(0, at) + 1; // and the statement's
  at += 2 + 2 * body.readInt16BE(at);
  const found: string[] = [];
  let count = body.readInt16BE(at);
  for (at += 2; count > 0; count--) {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) continue;
    found.push(body.toString('utf8', at, at + length));
    at += length;
  }
  return found;
}
