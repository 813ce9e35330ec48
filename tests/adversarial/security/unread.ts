import net from 'node:net';
import postgres from 'postgres';
import type { TestRole } from '../../support/database.js';

/** A session whose client sends statements and reads nothing any more. */
export interface UnreadSession {
  pid: number;
  /** Sends a simple query, whose answer is not read. */
  send: (query: string) => void;
  close: () => void;
}

/** Logs in as any client does, and stops reading. */
export async function openUnread(role: TestRole, settings: string): Promise<UnreadSession> {
  const { hostname, port } = new URL(role.url);
  const socket = net.connect({ host: hostname, port: Number(port) });
  socket.on('error', () => undefined);
  // postgres.js accepts a socket, though its types do not say so.
  const options = { max: 1, onnotice: () => undefined, socket: () => socket } as postgres.Options<
    Record<string, never>
  >;
  const sql = postgres(role.url, options);
  await sql.unsafe(settings);
  const [row] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
  socket.pause();
  return {
    pid: row?.pid ?? 0,
    send: (query) => {
      const text = Buffer.from(`${query}\0`);
      const head = Buffer.alloc(5);
      head.write('Q');
      head.writeInt32BE(text.length + 4, 1);
      socket.write(Buffer.concat([head, text]));
    },
    close: () => {
      socket.destroy();
      sql.end({ timeout: 0 }).catch(() => undefined);
    },
  };
}
