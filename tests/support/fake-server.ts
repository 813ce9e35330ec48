import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import type { Certificate } from './certificates.js';
import { reader, type Message } from './wire.js';

/** One client of a fake server, which the test controls. */
export interface FakeClient {
  socket: net.Socket;
  /** The next message of the client; the first is its StartupMessage. Never resolves when the client has gone. */
  next: () => Promise<Message>;
  /** All messages so far. */
  said: readonly Message[];
  /** Sends a message; resolves with false when the client has gone. */
  send: (letter: string, body?: Buffer | string) => Promise<boolean>;
  /** Sends bytes. */
  write: (bytes: Buffer) => Promise<boolean>;
}

export interface FakeServer {
  port: number;
  clients: readonly FakeClient[];
  close: () => Promise<void>;
}

const SSL_REQUEST_LENGTH = 8;

/** A server that speaks PostgreSQL's protocol as `serve` does; over TLS when it has a certificate. */
export async function startFakeServer(
  serve: (client: FakeClient) => Promise<unknown>,
  certificate?: Certificate,
): Promise<FakeServer> {
  const sockets = new Set<net.Socket>();
  const clients: FakeClient[] = [];
  const server = net.createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    void afterSslRequest(socket, certificate).then((secured) => {
      const client = talkTo(secured);
      clients.push(client);
      return serve(client).catch(() => undefined);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    clients,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Answers the client's request for TLS, if there is one. */
export async function afterSslRequest(socket: net.Socket, certificate?: Certificate): Promise<net.Socket> {
  const [first] = (await once(socket, 'data')) as [Buffer];
  if (first.length !== SSL_REQUEST_LENGTH) {
    socket.pause();
    socket.unshift(first);
    return socket;
  }
  socket.pause();
  socket.write(certificate === undefined ? 'N' : 'S');
  if (certificate === undefined) return socket;
  const [cert, key] = [readFileSync(certificate.cert), readFileSync(certificate.key)];
  const secured = new tls.TLSSocket(socket, { isServer: true, cert, key });
  return secured.on('error', () => undefined);
}

function talkTo(socket: net.Socket): FakeClient {
  const said: Message[] = [];
  let read = 0;
  let wake = (): void => undefined;
  const take = reader((message) => {
    said.push(message);
    wake();
  });
  socket.on('data', take).resume();
  const write = (bytes: Buffer) =>
    new Promise<boolean>((resolve) => {
      if (socket.destroyed) return resolve(false);
      const gone = () => resolve(false);
      socket.once('close', gone);
      socket.write(bytes, (error) => {
        socket.off('close', gone);
        resolve(error == null);
      });
    });
  return {
    socket,
    said,
    next: async () => {
      for (;;) {
        const found = said[read];
        if (found !== undefined) {
          read++;
          return found;
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    send: (letter, body = '') => write(message(letter, body)),
    write,
  };
}

export function message(letter: string, body: Buffer | string): Buffer {
  const bytes = Buffer.from(body as string);
  return Buffer.concat([Buffer.from(letter), int32(4 + bytes.length), bytes]);
}

/** An AuthenticationRequest: its kind and its data. */
export function request(kind: number, data = ''): Buffer {
  return Buffer.concat([int32(kind), Buffer.from(data)]);
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The messages after AuthenticationOk, until the server is ready. */
export async function beReady(client: FakeClient): Promise<void> {
  await client.send('R', request(0));
  await client.send('S', 'server_version\x0018.0\0');
  await client.send('K', Buffer.concat([int32(1), int32(2)]));
  await client.send('Z', 'I');
}
