import { once } from 'node:events';
import net from 'node:net';
import { throughPort } from './through-port.js';

export interface Translator {
  /** The URL, through the translator. */
  through: (url: string) => string;
  close: () => Promise<void>;
}

/** Passes everything to the server (without TLS), and replaces the texts of errors, as another lc_messages does. */
export async function startTranslator(
  target: { host: string; port: number },
  words: { severity: string; message: string },
): Promise<Translator> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const upstream = net.connect(target);
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => undefined));
    let rest = Buffer.alloc(0);
    let isAnswered = false;
    client.pipe(upstream);
    upstream.on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      // The answer to the request for TLS is one letter.
      if (!isAnswered && rest.toString('latin1') === 'N') {
        isAnswered = true;
        client.write(rest);
        rest = Buffer.alloc(0);
      }
      for (;;) {
        const end = rest.length < 5 ? Infinity : 1 + rest.readUInt32BE(1);
        if (rest.length < end) return;
        const message = rest.subarray(0, end);
        client.write(message[0] === 'E'.charCodeAt(0) ? translated(message, words) : message);
        rest = rest.subarray(end);
      }
    });
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  return {
    through: (url) => throughPort(url, port),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function translated(message: Buffer, words: { severity: string; message: string }): Buffer {
  const fields = message.toString('utf8', 5).split('\0');
  const text = fields
    .map((field) => (field.startsWith('M') ? `M${words.message}` : field))
    .map((field) => (field.startsWith('S') ? `S${words.severity}` : field))
    .join('\0');
  const body = Buffer.from(text);
  const head = Buffer.from('E0000');
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
